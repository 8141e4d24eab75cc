"""The clients of others, untouched, against the real engine: `python -m tests.e2e.clients` writes docs/clients.md."""
