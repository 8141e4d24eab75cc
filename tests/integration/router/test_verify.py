"""tests/unit/router/test_verify.py, on a real API server."""

from tests.unit.router.test_verify import *  # noqa: F403
