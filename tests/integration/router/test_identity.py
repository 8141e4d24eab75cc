"""tests/unit/router/test_identity.py, on a real API server."""

from tests.unit.router.test_identity import *  # noqa: F403
