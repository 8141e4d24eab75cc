"""A storm of clients and engines against the real server."""
