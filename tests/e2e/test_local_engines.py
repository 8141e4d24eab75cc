"""One machine without a cluster: the engines that come on first use, with the real packages and a real model."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.release import SAFETENSORS
from tests.e2e.test_local_command import BERTH, environment, ran, uv_cache

__all__ = ["environment", "uv_cache"]

INSTALLATION_SECONDS = 1500
"""Gigabytes, where uv has not kept them of an earlier time."""


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_an_engine_is_installed_on_first_use_and_says_how_far_it_is(
    environment: dict[str, str], models: Path, engine: str
) -> None:
    model = Path(SAFETENSORS).name
    command = [BERTH, "run", model, "Write one sentence about the sea.", "--models", models, "--backend", engine]
    options = ["--temperature", "0", "--max-tokens", "12", "--output", "json"]
    done = subprocess.run(
        [*command, *options],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=INSTALLATION_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert f"{model}: installing {engine}, once: " in done.stderr
    answer = json.loads(done.stdout)
    assert answer["usage"]["completion_tokens"] == 12
    assert "sea" in answer["content"].lower()
    again = ran([*command, *options], environment)
    assert "installing" not in again.stderr
    assert json.loads(again.stdout)["content"] == answer["content"]
