"""tests/unit/router/test_eviction.py, on a real API server."""

from tests.unit.router.test_eviction import *  # noqa: F403
