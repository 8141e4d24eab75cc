"""The Secret that hands an engine its key, and the variable in its pod that takes it from there.

The pod names the Secret alone: neither its manifest nor the engine's arguments have the key.
"""

from typing import Any

from berth_api.engine_key import EngineKeyring
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import LABEL_DEPLOYMENT, LABEL_MANAGED_BY, MODEL_DEPLOYMENTS, SECRETS, Object

VARIABLE = "BERTH_ENGINE_KEY"
"""Where the launcher looks for the key."""

_FIELD = "key"


def make_key_secret(deployment: ModelDeployment, keyring: EngineKeyring, manager: str) -> Object:
    """The Secret of this very deployment. It ends with the deployment."""
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": keyring.secret_name(deployment.name, deployment.uid),
            "labels": {LABEL_DEPLOYMENT: deployment.name, LABEL_MANAGED_BY: manager},
            "ownerReferences": [
                {
                    "apiVersion": MODEL_DEPLOYMENTS.api_version,
                    "kind": MODEL_DEPLOYMENTS.kind,
                    "name": deployment.name,
                    "uid": deployment.uid,
                }
            ],
        },
        "type": "Opaque",
        "immutable": True,
        "stringData": {_FIELD: keyring.key(deployment.uid)},
    }


def add_engine_key(pod_spec: dict[str, Any], deployment: ModelDeployment, keyring: EngineKeyring | None) -> None:
    """Has the pod's engine ask for the deployment's key. None: it answers whoever reaches it."""
    if keyring is None:
        return
    name = keyring.secret_name(deployment.name, deployment.uid)
    [container] = pod_spec["containers"]
    container["env"].append({"name": VARIABLE, "valueFrom": {"secretKeyRef": {"name": name, "key": _FIELD}}})
