"""Operator and router as processes of their own, each with a service account whose writes the API server counts."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import resident_bytes
from tests.kubectl import Kubectl

OPERATOR, ROUTER = "berth-operator", "berth-router"

WRITTEN = {
    "deployments": ("berth.dev", ["modeldeployments", "modeldeployments/status"]),
    "pods": ("", ["pods", "pods/status"]),
    "events": ("", ["events"]),
}
"""What is counted, by its name in the table: the API group and the resources."""

_WRITES = ["create", "update", "patch", "delete", "deletecollection"]
_READS = ["get", "list", "watch"]
_READ = "reads"
"""What the flow schema of an account's reads is called by."""

_SCHEMA = re.compile(r'flow_schema="([^"]*)"')
_COUNTER = re.compile(r"^apiserver_flowcontrol_dispatched_requests_total\{(.*)\} (\S+)$", re.MULTILINE)
_END_SECONDS = 30


def prepare(kubectl: Kubectl) -> None:
    """Makes the service accounts, with all rights in the namespace, and has the API server count what they ask.

    The API server counts requests by flow schema, and a schema matches by account, verb and resource: so what is
    counted are the writes and reads of these programs and nobody else's.
    """
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": kubectl.namespace} for name in (OPERATOR, ROUTER)]
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    kubectl.apply(
        *(_object("v1", "ServiceAccount", name) for name in (OPERATOR, ROUTER)),
        {**_object("rbac.authorization.k8s.io/v1", "Role", "berth"), "rules": rules},
        {
            **_object("rbac.authorization.k8s.io/v1", "RoleBinding", "berth"),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "berth"},
            "subjects": subjects,
        },
        *(
            _flow_schema(kubectl.namespace, account, what, _WRITES, *WRITTEN[what])
            for account in (OPERATOR, ROUTER)
            for what in WRITTEN
        ),
        *(_flow_schema(kubectl.namespace, account, _READ, _READS, "*", ["*"]) for account in (OPERATOR, ROUTER)),
    )


def remove(kubectl: Kubectl) -> None:
    """Removes what `prepare` has made outside of the namespace."""
    for account in (OPERATOR, ROUTER):
        for what in (*WRITTEN, _READ):
            kubectl.run("delete", "flowschema", _schema_name(kubectl.namespace, account, what), "--ignore-not-found")


def writes(kubectl: Kubectl, account: str) -> dict[str, int]:
    """How many writes the API server has taken of a program until now, by what was written."""
    counted = _dispatched(kubectl)
    return {what: counted[_schema_name(kubectl.namespace, account, what)] for what in WRITTEN}


def reads(kubectl: Kubectl, account: str) -> int:
    """How many gets, lists and watches the API server has taken of a program until now."""
    return _dispatched(kubectl)[_schema_name(kubectl.namespace, account, _READ)]


def _dispatched(kubectl: Kubectl) -> Counter[str]:
    """The requests that the API server has dispatched until now, by the name of the flow schema."""
    counted = Counter[str]()
    for labels, value in _COUNTER.findall(kubectl.run("get", "--raw", "/metrics")):
        if schema := _SCHEMA.search(labels):
            counted[schema[1]] += int(float(value))
    return counted


class Program:
    """A running program."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def resident_mib(self) -> float:
        """Its resident memory. Raises RuntimeError where it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.returncode}: see its log")
        return resident_bytes(self._process.pid) / 2**20

    def peak_mib(self) -> float:
        """The most that its resident memory has been."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def end(self) -> None:
        """Ends it, and waits for that."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def operator(kubectl: Kubectl, folder: Path) -> Generator[Program]:
    """An operator that makes pods which no node takes."""
    settings = folder / "operator.yaml"
    settings.write_text(
        json.dumps(
            {
                "namespace": kubectl.namespace,
                "healthPort": 18081,
                "metricsPort": 0,
                "engines": {"llamacpp": {"cpu": {"image": "localhost/nothing:1"}}},
                "timing": {"unschedulableGrace": 86_400, "startDeadline": 86_400},
                "room": {"startsPerNode": 0},  # no pod waits until the scheduler has spoken of the ones before
            }
        )
    )
    with _program(kubectl, folder, OPERATOR, {"BERTH_CONFIG": str(settings)}) as program:
        yield program


@contextmanager
def router(kubectl: Kubectl, folder: Path, port: int) -> Generator[Program]:
    """A router that listens on this port of the loopback."""
    store = folder / "models"
    store.mkdir(exist_ok=True)
    environment = {
        "BERTH_NAMESPACE": kubectl.namespace,
        "BERTH_MODEL_STORE": str(store),
        "BERTH_DRAIN_SECONDS": "1",
        "BERTH_LAME_DUCK_SECONDS": "0",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "POD_NAME": "scale",
    }
    with _program(kubectl, folder, ROUTER, environment) as program:
        yield program


@contextmanager
def _program(kubectl: Kubectl, folder: Path, account: str, environment: Mapping[str, str]) -> Generator[Program]:
    config = folder / f"{account}.kubeconfig"
    config.touch(0o600)
    config.write_text(json.dumps(_kubeconfig(kubectl, account)))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
    with (folder / f"{account}.log").open("a") as log:
        program = Program(
            subprocess.Popen(
                [Path(sys.executable).with_name(account)],
                env={**inherited, **environment, "KUBECONFIG": str(config)},
                stdout=log,
                stderr=log,
            )
        )
        try:
            yield program
        finally:
            program.end()


def _kubeconfig(kubectl: Kubectl, account: str) -> dict[str, Any]:
    config = kubectl.json("config", "view", "--raw", "--minify")
    token = kubectl.run("create", "token", account, "--duration=12h").strip()
    config["users"] = [{"name": account, "user": {"token": token}}]
    config["contexts"][0]["context"] |= {"user": account, "namespace": kubectl.namespace}
    return config


def _object(api_version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}


def _schema_name(namespace: str, account: str, what: str) -> str:
    return f"{namespace}-{account}-{what}"


def _flow_schema(
    namespace: str, account: str, what: str, verbs: list[str], group: str, resources: list[str]
) -> dict[str, Any]:
    subject = {"kind": "ServiceAccount", "serviceAccount": {"name": account, "namespace": namespace}}
    rule = {"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": [namespace]}
    return {
        **_object("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", _schema_name(namespace, account, what)),
        "spec": {
            "matchingPrecedence": 100,
            "priorityLevelConfiguration": {"name": "workload-low"},  # as service accounts have it in any case
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{"subjects": [subject], "resourceRules": [rule]}],
        },
    }


def until_quiet(kubectl: Kubectl, account: str, seconds: float, patience: float = 600) -> None:
    """Waits until the program has written nothing for so many seconds. Raises TimeoutError."""
    began = last = time.monotonic()
    before = writes(kubectl, account)
    while time.monotonic() - last < seconds:
        if time.monotonic() - began > patience:
            raise TimeoutError(f"{account} does not stop writing")
        time.sleep(1)
        now = writes(kubectl, account)
        if now != before:
            before, last = now, time.monotonic()
