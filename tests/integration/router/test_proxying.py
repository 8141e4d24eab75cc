"""tests/unit/router/test_proxying.py, on a real API server."""

from tests.unit.router.test_proxying import *  # noqa: F403
