"""Prints the pod that Berth's operator would make for an engine on a GPU, changed to look at its image:

    engine_pod.py BACKEND IMAGE NAME

It asks for no GPU and mounts no model store, and instead of the engine it runs /probe/BACKEND.sh out of the ConfigMap
`probe`. Who it runs as, what it may write and all that the restricted standard wants is as the operator made it.
"""

import json
import sys
from typing import Any

from berth_api.model_deployment import Backend, Device, ModelDeployment
from berth_operator.engines import ENGINES
from berth_operator.resources.pod import make_pod
from berth_operator.settings import DeviceSettings, EngineImage, OperatorSettings

PROBE = "probe"


def engine_pod(backend: Backend, image: str) -> dict[str, Any]:
    """The operator's pod of a deployment that has one GPU."""
    deployment = ModelDeployment.parse(
        {
            "metadata": {
                "name": "image",
                "uid": "0" * 8,
                "resourceVersion": "1",
                "creationTimestamp": "2000-01-01T00:00:00+00:00",
            },
            "spec": {"model": "/models/none", "backend": backend.value, "device": Device.CUDA.value},
        }
    )
    settings = OperatorSettings(devices={Device.CUDA: DeviceSettings()})
    return make_pod(deployment, ENGINES[backend], EngineImage(image=image), settings)


def probing(pod: dict[str, Any], backend: Backend, name: str) -> dict[str, Any]:
    """The same pod, running the probe instead of the engine."""
    [container] = pod["spec"]["containers"]
    for part in ("args", "ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        container.pop(part, None)
    container["command"] = ["tini", "--", "sh", f"/{PROBE}/{backend.value}.sh"]
    container["volumeMounts"] = [
        *(mount for mount in container["volumeMounts"] if mount["name"] != "models"),
        {"name": PROBE, "mountPath": f"/{PROBE}", "readOnly": True},
    ]
    pod["spec"]["volumes"] = [
        *(volume for volume in pod["spec"]["volumes"] if volume["name"] != "models"),
        {"name": PROBE, "configMap": {"name": PROBE}},
    ]
    pod["metadata"] = {"name": name}
    return pod


def main() -> None:
    """Prints the pod's manifest, as JSON."""
    backend, image, name = Backend(sys.argv[1]), sys.argv[2], sys.argv[3]
    json.dump(probing(engine_pod(backend, image), backend, name), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
