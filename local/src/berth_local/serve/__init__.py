"""The server of one machine: router, reconcilers and node in one process. `interface.py` is for the command `berth`."""
