"""Ports of pods that share one address."""

import socket
from typing import Any

import pytest

from berth_local.node.admission import Ports, pod_admission, with_port


def pod(*args: str, port: int = 8000) -> dict[str, Any]:
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "args": list(args), "ports": [{"name": "http", "containerPort": port}]}]},
    }


def port_of(admitted: dict[str, Any]) -> int:
    return admitted["spec"]["containers"][0]["ports"][0]["containerPort"]


def test_each_pod_gets_a_port_and_its_program_is_told() -> None:
    ports = Ports()
    one, two = (ports.admit(pod("llamacpp", "--port", "8000", "--alias", "x")) for _ in range(2))
    assert port_of(one) != port_of(two)
    assert one["spec"]["containers"][0]["args"] == ["llamacpp", "--port", str(port_of(one)), "--alias", "x"]
    assert pod_admission(ports)(one, one) == one, "a change of the pod is not another pod"
    for each in (one, two):
        ports.release(each)


def test_a_pod_without_ports_is_left_alone() -> None:
    plain = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "args": ["--port", "8000"]}]}}
    assert Ports().admit(plain) == plain


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_port_that_is_held_is_free_for_its_engine_only(option: int) -> None:
    """Engines set one of these options: Python's servers the first, llama.cpp's the second."""
    ports = Ports()
    admitted = ports.admit(pod("llamacpp", "--port", "8000"))
    with socket.socket() as thoughtless, pytest.raises(OSError, match="in use"):
        thoughtless.bind(("127.0.0.1", port_of(admitted)))
    with socket.socket() as engine:
        engine.setsockopt(socket.SOL_SOCKET, option, 1)
        engine.bind(("127.0.0.1", port_of(admitted)))
        engine.listen()
        with socket.create_connection(("127.0.0.1", port_of(admitted)), timeout=5):
            pass
    ports.release(admitted)
    with socket.socket() as another:
        another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        another.bind(("127.0.0.1", port_of(admitted)))


def test_what_follows_the_dashes_is_the_engines() -> None:
    assert with_port(["vllm", "--port", "8000", "--", "--port", "8000"], {8000: 5}) == [
        "vllm",
        "--port",
        "5",
        "--",
        "--port",
        "8000",
    ]
