"""What a model is estimated to take of this machine's memory, beside what its engine is told to take."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from berth_api.engine_settings import LEAST_AUTO_CONTEXT, MOST_AUTO_CONTEXT
from berth_api.model_deployment import ModelDeploymentSpec
from berth_formats import memory
from berth_formats.describe import describe
from berth_formats.memory import vllm_bytes
from berth_local.engines.memory import memory_estimates
from berth_operator.room.estimates import MemoryEstimate
from berth_runtime.main import engine_call
from tests.unit.formats.weights import write_checkpoint, write_gguf

LARGE = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8}


async def found_in(store: Path, spec: ModelDeploymentSpec) -> MemoryEstimate | None:
    return await memory_estimates(store)(spec)


def estimated(store: Path, **spec: Any) -> MemoryEstimate:
    settings = {"model": "/models/tiny", "device": "cpu", "backend": "llamacpp", **spec}
    found = asyncio.run(found_in(store, ModelDeploymentSpec.model_validate(settings)))
    assert found
    return found


def test_more_context_takes_more_memory_and_no_more_than_the_model_was_made_for(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny" / "tiny.gguf", context=8192)
    auto = estimated(tmp_path, llamacpp={"contextSize": "auto"})
    assert [each.context_size for each in auto.choices] == [8192, 4096, 2048]
    sizes = [each.bytes or 0 for each in auto.choices]
    assert sizes == sorted(sizes, reverse=True)
    assert all(sizes)
    assert auto.trained_context_size == 8192
    assert estimated(tmp_path).choices == auto.choices[2:]
    assert estimated(tmp_path, llamacpp={"contextSize": 1_000_000}).choices == auto.choices[:1]


@pytest.mark.parametrize(("backend", "tokens"), [("transformers", 2048), ("vllm", None)])
def test_of_other_engines_the_context_is_known_where_the_engine_does_not_tell_it(
    tmp_path: Path, backend: str, tokens: int | None
) -> None:
    write_checkpoint(tmp_path / "tiny")
    [choice] = estimated(tmp_path, backend=backend).choices
    assert choice.context_size == tokens


def test_the_bounds_of_auto_are_one_thing() -> None:
    assert (LEAST_AUTO_CONTEXT, MOST_AUTO_CONTEXT) == (memory.LEAST_AUTO_CONTEXT, memory.MOST_AUTO_CONTEXT)


@pytest.mark.parametrize(
    ("config", "max_model_len"),
    [({}, None), (LARGE, None), (LARGE, 4096), (LARGE, 40_000), ({"num_hidden_layers": None}, None)],
    ids=["small", "large", "a length", "one long request", "unknown"],
)
def test_vllms_cache_is_estimated_as_the_launcher_sets_it(
    tmp_path: Path, config: dict[str, Any], max_model_len: int | None
) -> None:
    path = write_checkpoint(tmp_path / "m", **config)
    stated = {"vllm": {"maxModelLen": max_model_len}} if max_model_len else {}
    options = ["--max-model-len", str(max_model_len)] if max_model_len else []
    call, *_ = engine_call(["vllm", "--model", str(path), "--device", "cpu", *options])
    cache_bytes = int(dict(pairwise(call))["--kv-cache-memory-bytes"])
    [choice] = estimated(tmp_path, model="/models/m", backend="vllm", **stated).choices
    assert choice.bytes == vllm_bytes(describe(path), cache_bytes)
