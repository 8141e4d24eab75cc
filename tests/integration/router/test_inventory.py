"""tests/unit/router/test_inventory.py, on a real API server."""

from tests.unit.router.test_inventory import *  # noqa: F403
