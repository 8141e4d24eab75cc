"""The tables of docs/reference/identity.md, taken at their word."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from berth_api.model_deployment import Backend, Device
from berth_router.errors import InvalidRequestError
from berth_router.lifecycle.resolve import Attach, Create, Policy, resolve
from berth_router.request.ask import Ask, RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.store.model_store import FileType, ModelLookup
from tests.unit.router.test_resolve import live

_PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "identity.md").read_text()
_EVERYWHERE = [Device.CPU, Device.CUDA]
_IN_SPEC = {
    "n_ctx": ("llamacpp", "contextSize"),
    "n_gpu_layers": ("llamacpp", "gpuLayers"),
    "gpu_memory_utilization": ("vllm", "gpuMemoryUtilization"),
    "max_model_len": ("vllm", "maxModelLen"),
}


def rows(heading: str) -> list[tuple[str, ...]]:
    """The rows of the table under a heading, cell by cell."""
    section = _PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table[2:]]


def stated(cell: str) -> dict[str, Any]:
    """`n_ctx=512 device=cpu` as fields of a request."""
    pairs = re.findall(r"(\w+)=(\S+)", cell)
    words = ("backend", "device")
    return {name: value if name in words or value == "auto" else orjson.loads(value) for name, value in pairs}


def spec_of(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a request as those of a ModelDeployment."""
    spec: dict[str, Any] = {name: fields[name] for name in ("backend", "device")}
    for name, (block, key) in _IN_SPEC.items():
        if name in fields:
            spec.setdefault(block, {})[key] = fields[name]
    return spec


def asked(cell: str) -> Ask:
    endpoint = INFERENCE_PATHS["/v1/chat/completions"]
    body: dict[str, Any] = {"model": "/models/tiny", "messages": [{"role": "user", "content": "Hi"}], **stated(cell)}
    return RequestParser({}).parse(orjson.dumps(body), endpoint).ask


def policy(default_device: Device, vllm: list[Device]) -> Policy:
    return Policy(
        engines={Backend.LLAMACPP: _EVERYWHERE, Backend.VLLM: vllm, Backend.TRANSFORMERS: _EVERYWHERE},
        default_backend=Backend.LLAMACPP,
        default_device=default_device,
        default_ttl=300,
        max_deployments=100,
    )


@pytest.mark.covers("n_ctx", "n_gpu_layers", "gpu_memory_utilization", "Requests: max_model_len")
@pytest.mark.parametrize(("there", "says", "outcome"), rows("Cases"))
def test_cases_of_identity(there: str, says: str, outcome: str) -> None:
    if outcome.startswith("refused"):
        with pytest.raises(InvalidRequestError) as raised:
            asked(says)
        assert f"`{raised.value.param}`" == outcome.removeprefix("refused: ")
        return
    deployments = [] if there == "none" else [live(**spec_of(stated(there)))]
    decision = resolve(asked(says), deployments, ModelLookup(exists=True), policy(Device.CPU, [Device.CUDA]))
    if outcome == "the live one":
        assert isinstance(decision, Attach)
        return
    assert isinstance(decision, Create)
    made = decision.spec.manifest()
    wanted = spec_of(stated(outcome))
    assert {name: made.get(name) for name in ("backend", "device", "llamacpp", "vllm")} == {
        "llamacpp": None,
        "vllm": None,
        **wanted,
    }


@pytest.mark.covers("backend", "device")
@pytest.mark.parametrize(("files", "says", "default_device", "engine"), rows("Which engine is started"))
def test_the_engine_follows_from_the_files(files: str, says: str, default_device: str, engine: str) -> None:
    weights = frozenset(FileType(kind) for kind in files.split() if kind != "none")
    decision = resolve(
        asked(says), [], ModelLookup(exists=True, weights=weights), policy(Device(default_device), _EVERYWHERE)
    )
    assert isinstance(decision, Create)
    assert f"{decision.spec.backend} on {decision.spec.device}" == engine


def test_the_tables_were_found() -> None:
    assert len(rows("Cases")) > 35
    assert len(rows("Which engine is started")) > 10
