"""What Berth's parts share: the resource types, their names and identity, and the interface to the cluster that holds them."""
