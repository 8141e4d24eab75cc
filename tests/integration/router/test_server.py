"""tests/unit/router/test_server.py, on a real API server."""

from tests.unit.router.test_server import *  # noqa: F403
