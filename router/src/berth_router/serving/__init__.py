"""The byte path: every socket of a client and of an engine, from the first byte of a request to the last of its
answer."""
