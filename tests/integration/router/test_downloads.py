"""tests/unit/router/test_downloads.py, on a real API server."""

from tests.unit.router.test_downloads import *  # noqa: F403
