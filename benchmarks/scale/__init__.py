"""What ten thousand deployments cost an operator and a router."""
