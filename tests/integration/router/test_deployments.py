"""tests/unit/router/test_deployments.py, on a real API server."""

from tests.unit.router.test_deployments import *  # noqa: F403
