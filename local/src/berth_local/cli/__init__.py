"""The command `berth`. It speaks HTTP to a server; of the server of this machine it knows `serve.interface` alone."""
