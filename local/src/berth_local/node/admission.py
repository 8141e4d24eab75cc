"""Admission: what the cluster in memory does to an object before it stores it.

Deployments and downloads are checked against their schema and get its defaults; in Kubernetes the CRDs do this.
Pods get a free port: in Kubernetes every pod has an address of its own, here all have 127.0.0.1. They also get a status
that says that their program is being started: otherwise the operator tells the user that a node pulls an image.
"""

import socket
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from berth_api import model_deployment, model_download
from berth_api.model_deployment import ModelDeploymentSpec
from berth_api.model_download import ModelDownloadSpec
from berth_api.schema import Schema
from berth_cluster.cluster import MODEL_DEPLOYMENTS, MODEL_DOWNLOADS, InvalidError, Object

LOOPBACK = "127.0.0.1"


Admit = Callable[[Object, Object | None], Object]
"""Takes an object and what it was before (None: it is new); returns the object to store. Raises InvalidError."""


def with_schema(schema: type[Schema], name_length: int, *, immutable: bool = False) -> Admit:
    """An admission that checks the spec against the schema and fills in its defaults.

    `name_length`: the most characters of a new object's name. `immutable`: the spec cannot be changed.
    """

    def admit(item: Object, before: Object | None) -> Object:
        name: str = item["metadata"].get("name", "")
        try:
            spec = schema.model_validate(item["spec"]).manifest()
        except ValidationError as error:
            details = "; ".join(f"spec.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise InvalidError(f'"{name}" is invalid: {details}') from error
        if before is None and len(name) > name_length:
            raise InvalidError(
                f'"{name}" is invalid: metadata.name: at most {name_length} characters, and this one has {len(name)}'
            )
        if immutable and before is not None and spec != before["spec"]:
            raise InvalidError(f'"{name}" is invalid: spec: the spec cannot be changed; delete it and make another')
        return {**item, "spec": spec}

    return admit


SCHEMAS: Mapping[str, Admit] = {
    MODEL_DEPLOYMENTS.plural: with_schema(ModelDeploymentSpec, model_deployment.NAME_LENGTH),
    MODEL_DOWNLOADS.plural: with_schema(ModelDownloadSpec, model_download.NAME_LENGTH, immutable=True),
}


def pod_admission(ports: "Ports") -> Admit:
    """The admission of pods."""

    def admit(pod: Object, before: Object | None) -> Object:
        return pod if before is not None else {**ports.admit(pod), "status": _being_started(pod)}

    return admit


def _being_started(pod: Object) -> Object:
    containers: list[Any] = pod["spec"]["containers"]
    return {
        "phase": "Pending",
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "ready": False,
                "restartCount": 0,
                "state": {
                    "waiting": {
                        "reason": "ContainerCreating",
                        "message": f"the {container['name']} is being started",
                    }
                },
            }
            for container in containers
        ],
    }


class Ports:
    """Hands out free ports to pods, and holds each until the pod gives it back.

    A port is held by a socket that is bound and does not listen. The engine can still bind the port, because servers
    set SO_REUSEADDR. The kernel gives it to nobody who asks for any free port.
    """

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def admit(self, pod: Object) -> Object:
        """The pod with a free port in place of each port of its containers, in `ports` and after `--port` in `args`."""
        containers: list[Any] = [self._admit_container(container) for container in pod["spec"]["containers"]]
        return {**pod, "spec": {**pod["spec"], "containers": containers}}

    def release(self, pod: Object) -> None:
        """Frees the ports of a pod that is gone."""
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", []):
                held = self._held.pop(port["containerPort"], None)
                if held:
                    held.close()

    def _admit_container(self, container: dict[str, Any]) -> dict[str, Any]:
        declared: list[Any] = container.get("ports", [])
        if not declared:
            return container
        numbers = {port["containerPort"]: self._take() for port in declared}
        return {
            **container,
            "ports": [{**port, "containerPort": numbers[port["containerPort"]]} for port in declared],
            "args": with_port(container.get("args", []), numbers),
        }

    def _take(self) -> int:
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((LOOPBACK, 0))
        number: int = held.getsockname()[1]
        self._held[number] = held
        return number


def with_port(arguments: list[str], numbers: Mapping[int, int]) -> list[str]:
    """The arguments with another number after `--port`. What follows `--` is the engine's own and stays."""
    replaced = list(arguments)
    for at, argument in enumerate(arguments[:-1]):
        if argument == "--":
            break
        if argument == "--port" and (number := numbers.get(int(arguments[at + 1]))):
            replaced[at + 1] = str(number)
    return replaced
