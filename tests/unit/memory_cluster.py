"""The local Cluster with instruments."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from berth_local.node.admission import SCHEMAS, Admit
from berth_local.node.cluster import LocalCluster
from tests.instruments import Instruments


class MemoryCluster(Instruments, LocalCluster):
    """Counts its calls, fails on demand, and forgets its history on demand."""

    def __init__(
        self, admission: Mapping[str, Admit] = SCHEMAS, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        Instruments.__init__(self)
        LocalCluster.__init__(self, admission, clock)

    def expire_watches(self) -> None:
        """Forgets the history, as etcd's compaction does: watches end with ExpiredError."""
        self._oldest = self._version
        self._wake()

    async def _begin(self, method: str) -> None:
        await super()._begin(method)
        self.called(method)
