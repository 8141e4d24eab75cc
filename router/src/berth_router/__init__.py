"""The router: an OpenAI API in front of models that start when they are asked for."""

from berth_cluster.cluster import ROUTER

MANAGER = ROUTER
"""Value of the managed-by label on whatever a router creates in the cluster."""
