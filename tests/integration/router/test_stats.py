"""tests/unit/router/test_stats.py, on a real API server."""

from tests.unit.router.test_stats import *  # noqa: F403
