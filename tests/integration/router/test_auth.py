"""tests/unit/router/test_auth.py, on a real API server."""

from tests.unit.router.test_auth import *  # noqa: F403
