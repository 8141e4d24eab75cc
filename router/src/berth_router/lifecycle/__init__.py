"""A deployment's life as a router decides it: found or created, claimed under a lease, evicted, unloaded."""
