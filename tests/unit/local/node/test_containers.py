"""What a container's description becomes on this machine."""

from pathlib import Path
from typing import Any

import pytest

from berth_local.node.containers import arguments_here, environment_here, termination_message

STORE = Path("/home/me/models")
LOG = Path("/run/log")
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "GGML_VK_VISIBLE_DEVICES": ""}

ON_THE_SECOND = {"name": "LLAMA_ARG_DEVICE", "value": "Vulkan1"}


@pytest.mark.parametrize(
    ("container", "arguments"),
    [
        (
            {
                "args": ["llamacpp", "--model", "/models/a/b.gguf", "--alias", "/models/a/b.gguf"],
                "ports": [{"containerPort": 1}],
            },
            ["llamacpp", "--model", "/home/me/models/a/b.gguf", "--alias", "/models/a/b.gguf", "--host", "127.0.0.1"],
        ),
        (
            {"args": ["vllm", "--model", "/models/a", "--", "--model", "/models/x"], "ports": [{"containerPort": 1}]},
            ["vllm", "--model", "/home/me/models/a", "--host", "127.0.0.1", "--", "--model", "/models/x"],
        ),
        (
            {"args": ["--remove-staging", "d", "--store", "/models"]},
            ["--remove-staging", "d", "--store", "/home/me/models"],
        ),
        ({}, []),
        (
            {"args": ["llamacpp"], "env": [ON_THE_SECOND], "ports": [{"containerPort": 1}]},
            ["llamacpp", "--host", "127.0.0.1", "--", "--device", "Vulkan1"],
        ),
        (
            {"args": ["llamacpp", "--", "--device", "none"], "env": [ON_THE_SECOND]},
            ["llamacpp", "--", "--device", "Vulkan1", "--device", "none"],
        ),
    ],
)
def test_paths_are_this_machines_and_engines_listen_on_loopback(
    container: dict[str, Any], arguments: list[str]
) -> None:
    assert arguments_here(container, STORE) == arguments


def test_a_gpu_that_the_user_names_is_for_engines_that_ask_for_one() -> None:
    mine = {"LLAMA_ARG_DEVICE": "Vulkan1"}
    assert "LLAMA_ARG_DEVICE" not in environment_here({}, LOG, mine)
    on_gpu = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
    assert environment_here(on_gpu, LOG, mine)["LLAMA_ARG_DEVICE"] == "Vulkan1"


def test_secrets_reach_only_who_asks_for_them() -> None:
    mine = {"PATH": "/bin", "HOME": "/home/me", "HF_TOKEN": "t", "BERTH_API_KEY": "k", "LLAMA_API_KEY": "l"}
    log = {"BERTH_TERMINATION_LOG": str(LOG), **NO_GPU}
    assert environment_here({}, LOG, mine) == {"PATH": "/bin", "HOME": "/home/me", **log}
    env = [
        {"name": "HOME", "value": "/tmp"},
        {"name": "HF_ENDPOINT", "value": "http://hub"},
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "environment", "key": "HF_TOKEN"}}},
        {"name": "BERTH_TERMINATION_LOG", "value": "/dev/termination-log"},
    ]
    assert environment_here({"env": env}, LOG, mine) == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "HF_ENDPOINT": "http://hub",
        "HF_TOKEN": "t",
        **log,
    }
    del mine["HF_TOKEN"]
    assert "HF_TOKEN" not in environment_here({"env": env}, LOG, mine)


@pytest.mark.parametrize(
    ("resources", "visible"),
    [
        ({}, ""),
        ({"limits": {"memory": "1Gi"}}, ""),
        ({"limits": {"memory": "1Gi", "nvidia.com/gpu": 1}}, "3"),
        ({"limits": {"amd.com/gpu": 2}}, "3"),
    ],
)
def test_who_asks_for_no_gpu_sees_none(resources: dict[str, Any], visible: str) -> None:
    found = environment_here({"resources": resources}, LOG, {"CUDA_VISIBLE_DEVICES": "3"})
    assert found["CUDA_VISIBLE_DEVICES"] == visible


@pytest.mark.parametrize(
    ("policy", "written", "code", "message"),
    [
        ("FallbackToLogsOnError", "ModelNotFound: no", 66, "ModelNotFound: no"),
        ("FallbackToLogsOnError", "", 1, "\n".join(f"line {number}" for number in range(20, 100))),
        ("FallbackToLogsOnError", "", 0, ""),
        ("File", "", 1, ""),
        ("File", "x" * 5000, 1, "x" * 4096),
    ],
)
def test_last_words_are_those_written_or_the_end_of_the_output(
    tmp_path: Path, policy: str, written: str, code: int, message: str
) -> None:
    log = tmp_path / "log"
    log.write_text(written)
    lines = [f"line {number}" for number in range(100)]
    assert termination_message({"terminationMessagePolicy": policy}, log, lines, code) == message


@pytest.mark.parametrize(
    ("lines", "rest"), [([], ""), (["loading"], "; its last lines:\nloading")], ids=["silent", "with a log"]
)
def test_who_was_killed_for_lack_of_memory_is_told_so_in_words_of_one_machine(
    tmp_path: Path, lines: list[str], rest: str
) -> None:
    container = {"name": "engine", "terminationMessagePolicy": "FallbackToLogsOnError"}
    message = "OutOfMemory: the engine needed more memory than this machine has left, and was killed"
    assert termination_message(container, tmp_path / "log", lines, 137, out_of_memory=True) == message + rest


def test_an_engine_that_knows_only_paths_is_told_the_path_as_the_models_name() -> None:
    container = {"args": ["transformers", "--model", "/models/a", "--alias", "/models/a"]}
    assert arguments_here(container, STORE) == [
        "transformers",
        "--model",
        "/home/me/models/a",
        "--alias",
        "/home/me/models/a",
    ]
