"""tests/unit/router/test_manifest.py, on a real API server."""

from tests.unit.router.test_manifest import *  # noqa: F403
