"""The command line of vllm serve, whole, and what it follows from."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from berth_formats.checkpoint import attention_of, context_length_of
from berth_formats.memory import vllm_cpu_cache_bytes
from berth_runtime.container import usable_cores
from berth_runtime.engines.vllm import VllmLaunchSettings, compile_cache, scaled_positions, server_command
from berth_runtime.main import engine_call
from tests.unit.runtime.model_files import put

GIB = 1 << 30
BASE = VllmLaunchSettings(
    model=Path("/models/SmolLM2"),
    port=8000,
    alias="/models/SmolLM2",
    gpu_memory_utilization=0.7,
    max_model_len=None,
    devices=1,
    cpu_cache_bytes=None,
    ipv6=False,
)
# 30 layers, 3 of 9 heads kept, of 64 numbers each: 23,040 bytes a token.
SMOLLM2 = {
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
    "max_position_embeddings": 8192,
}


def test_the_whole_command_on_a_gpu() -> None:
    assert server_command(BASE) == [
        *("vllm", "serve", "/models/SmolLM2"),
        *("--served-model-name", "/models/SmolLM2"),
        *("--host", "0.0.0.0"),
        *("--port", "8000"),
        *("--gpu-memory-utilization", "0.7"),
        *("--max-model-len", "-1"),
        *("--tensor-parallel-size", "1"),
        *("--disable-access-log-for-endpoints", "/health,/metrics"),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"gpu_memory_utilization": 0.35}, ("--gpu-memory-utilization", "0.35")),
        ({"max_model_len": 4096}, ("--max-model-len", "4096")),
        ({"positions": 131072}, ("--hf-overrides", '{"max_position_embeddings": 131072}')),
        ({"devices": 4}, ("--tensor-parallel-size", "4")),
        ({"cpu_cache_bytes": GIB}, ("--kv-cache-memory-bytes", "1073741824")),
        ({"gpu_cache_bytes": GIB}, ("--kv-cache-memory-bytes", "1073741824")),
        ({"ipv6": True}, ("--host", "::")),
        ({"port": 9000}, ("--port", "9000")),
        ({"alias": "smol"}, ("--served-model-name", "smol")),
    ],
)
def test_each_setting_reaches_the_server(change: dict[str, Any], expected: tuple[str, str]) -> None:
    call = server_command(BASE._replace(**change))
    assert call[call.index(expected[0]) + 1] == expected[1]


def test_a_share_of_a_gpu_may_be_small_and_its_cache_is_stated(tmp_path: Path) -> None:
    model = put(tmp_path / "SmolLM2", "model.safetensors")
    put(model, "config.json", content=json.dumps(SMOLLM2).encode())
    options = ["--kv-cache-memory-bytes", "1000", "--gpu-memory-utilization", "0.0437"]
    given = dict(pairwise(engine_call(["vllm", "--model", str(model), *options]).arguments))
    assert (given["--kv-cache-memory-bytes"], given["--gpu-memory-utilization"]) == ("1000", "0.0437")
    assert "--enforce-eager" not in given


def test_what_is_compiled_is_kept_where_a_folder_is_given(tmp_path: Path) -> None:
    assert compile_cache(None) == {}
    given = compile_cache(str(tmp_path / "compiled"))
    assert given == {
        "VLLM_CACHE_ROOT": str(tmp_path / "compiled/vllm"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled/torchinductor"),
        "TRITON_CACHE_DIR": str(tmp_path / "compiled/triton"),
    }
    assert all(Path(place).is_dir() for place in given.values())
    assert compile_cache(str(tmp_path / "compiled")) == given, "the next start finds it"
    assert compile_cache(str(tmp_path / "compiled"), on_cpu=True) == {**given, "VLLM_USE_AOT_COMPILE": "0"}


def test_a_folder_that_cannot_be_written_stops_no_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert compile_cache(str(tmp_path / "file")) == {}
    assert capsys.readouterr().err == f"berth-launch: vLLM compiles anew: {tmp_path}/file: Not a directory\n"


def test_nothing_is_compiled_on_a_cpu() -> None:
    assert "--enforce-eager" in server_command(BASE._replace(cpu_cache_bytes=GIB))


def test_extra_arguments_come_last_where_they_override() -> None:
    assert server_command(BASE, ["--max-model-len", "512"])[-2:] == ["--max-model-len", "512"]


@pytest.mark.parametrize(
    ("config", "max_model_len", "usable", "expected"),
    [
        (SMOLLM2, None, 100 * GIB, 4 * 8192 * 23_040),
        ({"text_config": SMOLLM2, "max_position_embeddings": 8192}, None, 100 * GIB, 4 * 8192 * 23_040),
        (SMOLLM2, 256, 100 * GIB, GIB // 4),
        (SMOLLM2, None, GIB // 2, GIB // 2),
        (SMOLLM2, None, -GIB, GIB // 4),
        ({**SMOLLM2, "max_position_embeddings": 1_000_000}, None, 100 * GIB, 4 * GIB),
        ({**SMOLLM2, "max_position_embeddings": 1_000_000}, 300_000, 100 * GIB, 300_000 * 23_040),
        ({}, None, 100 * GIB, 4 * GIB),
    ],
    ids=[
        "four of full length",
        "of the text",
        "at least a quarter GiB",
        "what is left",
        "nothing is left",
        "at most 4 GiB",
        "one stated",
        "unknown",
    ],
)
def test_the_cache_on_a_cpu(config: dict[str, Any], max_model_len: int | None, usable: int, expected: int) -> None:
    found = vllm_cpu_cache_bytes(attention_of(config), context_length_of(config), max_model_len, usable)
    assert found == expected


def test_the_launchers_options_reach_the_server(tmp_path: Path) -> None:
    model = put(tmp_path / "SmolLM2", "model.safetensors")
    put(model, "config.json", content=json.dumps(SMOLLM2).encode())
    options = ["--device", "cpu", "--gpu-memory-utilization", "0.5", "--max-model-len", "1024", "--devices", "2"]
    call, environment, _ = engine_call(["vllm", "--model", str(model), *options, "--", "--dtype", "float32"])
    given = dict(pairwise(call))
    assert call[:3] == ["vllm", "serve", str(model)]
    assert (given["--gpu-memory-utilization"], given["--max-model-len"], given["--tensor-parallel-size"]) == (
        "0.5",
        "1024",
        "2",
    )
    assert given["--kv-cache-memory-bytes"] == str(GIB // 4)
    assert call[-2:] == ["--dtype", "float32"]
    assert environment == {}, "a process for each of the two"


def test_on_a_cpu_the_process_that_schedules_computes_on_every_core_and_binds_to_none(tmp_path: Path) -> None:
    model = put(put(tmp_path / "SmolLM2", "model.safetensors"), "config.json", content=b"{}")
    call, environment, _ = engine_call(["vllm", "--model", str(model), "--device", "cpu"])
    assert dict(pairwise(call))["--distributed-executor-backend"] == "uni"
    assert environment == {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(usable_cores()),
    }


def test_on_a_gpu_its_processes_are_vllms_own_choice(tmp_path: Path) -> None:
    model = put(put(tmp_path / "SmolLM2", "model.safetensors"), "config.json", content=b"{}")
    call, environment, _ = engine_call(["vllm", "--model", str(model), "--device", "cuda"])
    assert "--distributed-executor-backend" not in call
    assert environment == {}


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


@pytest.mark.parametrize(
    ("config", "max_model_len", "expected"),
    [
        ({"max_position_embeddings": 40960, "rope_scaling": YARN}, 65536, 131072),
        ({"max_position_embeddings": 40960, "rope_parameters": YARN}, 131072, 131072),
        ({"max_position_embeddings": 32768, "rope_scaling": {"type": "yarn", "factor": 4.0}}, 65536, 131072),
        ({"max_position_embeddings": 40960, "rope_scaling": YARN}, 40960, None),
        ({"max_position_embeddings": 40960, "rope_scaling": YARN}, None, None),
        ({"max_position_embeddings": 40960, "rope_scaling": YARN}, 131073, None),
        ({"max_position_embeddings": 40960, "rope_scaling": None}, 65536, None),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "longrope", "short_factor": [1.0]}}, 8192, None),
    ],
)
def test_positions_that_yarn_scales(config: dict[str, Any], max_model_len: int | None, expected: int | None) -> None:
    assert scaled_positions(config, max_model_len) == expected
