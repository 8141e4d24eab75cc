"""The keys of the engines of one machine: whoever sends an engine a request needs that engine's own.

All programs of the machine, its other users' and web pages in its browsers, reach the engines' ports on loopback. So
each start of an engine gets a key that only this process and the engine know. It is in this process's memory and in the
engine's environment, which other users cannot read, and in no object of the cluster.
"""

import secrets
from typing import Any

from berth_cluster.cluster import LABEL_DEPLOYMENT, Object
from berth_local.node.admission import LOOPBACK
from berth_runtime.engines.engine import ENGINE_KEY

_KEY_BYTES = 32

_ENDING = "-key"
"""llama-server prints the last four characters of its key."""


class EngineKeys:
    """The key of each engine that runs, by its base URL."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}

    def make(self, pod: Object) -> dict[str, str]:
        """A new key for a pod that is about to run, as variables for its engine. Empty for what is no engine."""
        endpoints = _endpoints(pod)
        if not endpoints:
            return {}
        key = secrets.token_urlsafe(_KEY_BYTES) + _ENDING
        self._keys.update(dict.fromkeys(endpoints, key))
        return {ENGINE_KEY: key}

    def of(self, endpoint: str) -> str | None:
        """The key of the engine at this base URL. None: none runs there."""
        return self._keys.get(endpoint)

    def forget(self, pod: Object) -> None:
        """Forgets the key of a pod that is gone."""
        for endpoint in _endpoints(pod):
            self._keys.pop(endpoint, None)


def _endpoints(pod: Object) -> list[str]:
    """Where the pod's engine listens. Empty if it has none."""
    if LABEL_DEPLOYMENT not in (pod["metadata"].get("labels") or {}):
        return []
    containers: list[dict[str, Any]] = pod["spec"]["containers"]
    return [f"http://{LOOPBACK}:{port['containerPort']}" for each in containers for port in each.get("ports", [])]
