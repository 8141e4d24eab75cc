"""tests/unit/lifecycle/test_leases.py, on a real API server."""

from tests.unit.lifecycle.test_leases import *  # noqa: F403
