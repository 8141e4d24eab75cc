"""The interface to the cluster that holds Berth's objects, and the Kubernetes behind it."""
