"""From a request to a deployment that is kept for it, until it is idle, unloaded or put out:
decisions, leases, creation.
"""
