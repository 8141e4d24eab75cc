"""What a container's description becomes on this machine."""

from pathlib import Path
from typing import Any

import pytest

from berth_local.node.containers import arguments_here, termination_message

STORE = Path("/home/me/models")
LOG = Path("/run/log")

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
