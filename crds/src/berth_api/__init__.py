"""The resource types of Berth, their names and identity, and the rules that the operator and the router share."""
