"""The router's test-suite on a real API server."""
