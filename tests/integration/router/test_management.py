"""tests/unit/router/test_management.py, on a real API server."""

from tests.unit.router.test_management import *  # noqa: F403
