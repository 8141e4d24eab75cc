"""tests/unit/router/test_cold_start.py, on a real API server."""

from tests.unit.router.test_cold_start import *  # noqa: F403
