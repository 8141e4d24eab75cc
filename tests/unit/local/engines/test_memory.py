"""What a model is estimated to take of this machine's memory, beside what its engine is told to take."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from berth_api.identity import with_defaults
from berth_api.model_deployment import ModelDeploymentSpec
from berth_formats.describe import describe
from berth_formats.memory import pytorch_bytes
from berth_local.engines.memory import memory_bytes
from berth_runtime.main import engine_call
from tests.unit.formats.weights import write_checkpoint

LARGE = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8}


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
    spec = ModelDeploymentSpec.model_validate({"model": "/models/m", "device": "cpu", "backend": "vllm", **stated})
    options = ["--max-model-len", str(max_model_len)] if max_model_len else []
    call, *_ = engine_call(["vllm", "--model", str(path), "--device", "cpu", *options])
    cache_bytes = int(dict(pairwise(call))["--kv-cache-memory-bytes"])
    model = describe(path)
    assert memory_bytes(with_defaults(spec), model) == pytorch_bytes(model, cache_bytes)
