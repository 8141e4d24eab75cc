"""Which engines take requests now, as the view of deployments says: connections to the others are closed at once.

An engine that is about to end waits until nobody is connected to it, and an idle connection looks like any other.
"""

from berth_api.model_deployment import ModelDeployment
from berth_router.lifecycle.deployments import Deployments, is_ready
from berth_router.serving.inference import EngineKey
from berth_router.serving.pool import EngineAddress, EnginePool, engine_address


class OfferedEngines:
    """Tells the pool which engines are offered and which are withdrawn, whenever the view changes."""

    def __init__(self, deployments: Deployments, pool: EnginePool, engine_key: EngineKey) -> None:
        self._pool = pool
        self._engine_key = engine_key
        self._addresses: dict[str, EngineAddress] = {}
        """By deployment."""
        for deployment in deployments.all():
            self._changed(deployment)
        deployments.listen(self._changed)
        deployments.listen_for_removal(self._gone)

    def _changed(self, deployment: ModelDeployment) -> None:
        before, endpoint = self._addresses.get(deployment.name), deployment.status.endpoint
        now = engine_address(endpoint, self._engine_key(deployment)) if endpoint and is_ready(deployment) else None
        if now is before:
            return
        self._gone(deployment)
        if now:
            self._addresses[deployment.name] = now
            self._pool.offer(now)

    def _gone(self, deployment: ModelDeployment) -> None:
        if before := self._addresses.pop(deployment.name, None):
            self._pool.withdraw(before)
