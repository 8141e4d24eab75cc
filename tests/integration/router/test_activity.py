"""tests/unit/router/test_activity.py, on a real API server."""

from tests.unit.router.test_activity import *  # noqa: F403
