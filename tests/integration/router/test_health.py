"""tests/unit/router/test_health.py, on a real API server."""

from tests.unit.router.test_health import *  # noqa: F403
