"""Objects of the cluster as they are read: their parts, and why a pod does not do its work."""
