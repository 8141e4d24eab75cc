"""The node: the cluster in memory, and what runs its pods and Jobs as processes of this machine."""
