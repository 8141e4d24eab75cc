"""The byte path: every socket of a client or an engine, from a request's first byte to the last of its answer."""
