"""What the tests of the download in one process stand on."""

from tests.unit.hub.conftest import free_port, hub, small_store, store

__all__ = ["free_port", "hub", "small_store", "store"]
