"""berth engines, and berth completion: what they change on the machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from berth_api.model_deployment import Backend
from berth_local.engines.discovery import python_engine
from tests.unit.local.cli.conftest import Ran, run_command


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a user who has installed nothing."""
    names = ("BERTH_URL", "BERTH_VLLM_ENV", "BERTH_TRANSFORMERS_ENV")
    return {"HOME": str(tmp_path), "BERTH_HOME": str(tmp_path / "home"), **dict.fromkeys(names, "")}


def installed(home: Path) -> Path:
    """A folder that looks as if Transformers were installed in it."""
    engine = python_engine(Backend.TRANSFORMERS, home, {})
    assert engine.packages
    engine.directory.mkdir(parents=True)
    (engine.directory / "berth-complete").write_text(engine.packages.to_json())
    return engine.directory


def listed(environment: dict[str, str]) -> dict[str, bool]:
    """Whether each engine is installed."""
    told = run_command(("engines", "list", "-o", "json"), environment)
    return {each["name"]: each["installed"] for each in json.loads(told.out)["engines"]}


def test_engines_are_listed_and_removed(tmp_path: Path, environment: dict[str, str]) -> None:
    assert listed(environment)["transformers"] is False
    folder = installed(tmp_path / "home")
    assert listed(environment)["transformers"] is True
    assert "transformers" in run_command(("engines",), environment).out
    assert run_command(("engines", "remove", "transformers"), environment).code == 0
    assert not folder.exists()
    assert run_command(("engines", "remove", "transformers"), environment).code == 3


def test_what_is_installed_is_not_installed_again(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = installed(tmp_path / "home")
    assert run_command(("engines", "install", "transformers"), environment) == Ran(
        0, "", f"transformers is in {folder}\n"
    )


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ("ollama", "there is no engine ollama: those to install are vllm and transformers"),
        ("llamacpp", "llamacpp comes with Berth"),
        ("vllm", "BERTH_VLLM_ENV names /opt/vllm: "),
    ],
)
def test_what_cannot_be_installed_or_removed_is_told(environment: dict[str, str], engine: str, told: str) -> None:
    for change in ("install", "remove"):
        ran = run_command(("engines", change, engine), {**environment, "BERTH_VLLM_ENV": "/opt/vllm"})
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"berth: {told}")


def test_where_there_is_no_room_for_an_engine_it_says_so(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    little = Mock(return_value=Mock(free=1_000_000))
    monkeypatch.setattr("berth_local.engines.python_environment.shutil.disk_usage", little)
    ran = run_command(("engines", "install", "transformers"), environment)
    assert ran.code == 1
    assert ran.err.startswith("berth: transformers is not installed: transformers takes about 5.0 GB, and ")
    assert "has 1 MB free: make room" in ran.err


def test_where_uv_reaches_no_index_the_variable_is_named(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho no route >&2\nexit 2\n")
    uv.chmod(0o755)
    monkeypatch.setattr("berth_local.engines.python_environment.find_uv_bin", lambda: str(uv))
    ran = run_command(("engines", "install", "transformers"), environment)
    assert ran.code == 1
    assert "uv says above why. Where only a proxy leads out, HTTPS_PROXY" in ran.err


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/berth.sh"),
        ("zsh", ".zfunc/_berth"),
        ("fish", ".config/fish/completions/berth.fish"),
    ],
)
def test_completion_installs_itself_on_request(
    tmp_path: Path, environment: dict[str, str], shell: str, file: str
) -> None:
    own_shell = {**environment, "SHELL": f"/usr/bin/{shell}"}
    printed = run_command(("completion",), own_shell)
    assert "_BERTH_COMPLETE" in printed.out
    assert not (tmp_path / file).exists()
    assert run_command(("completion", "--install"), own_shell).err == (
        f"{tmp_path / file} completes berth in every new {shell}\n"
    )
    assert "_BERTH_COMPLETE" in (tmp_path / file).read_text()
    assert run_command(("completion",), {**environment, "SHELL": "/bin/sh"}).code == 2


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("berth run tiny --backend t", "transformers"),
        ("berth run tiny --device cu", "cuda"),
        ("berth engines install v", "vllm"),
        ("berth ps --output js", "json"),
    ],
)
def test_a_shell_completes_values(environment: dict[str, str], typed: str, completions: str) -> None:
    asked = {"_BERTH_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    assert run_command((), {**environment, **asked}).out.split() == [f"plain,{completions}"]


def test_bash_itself_completes_by_the_script(environment: dict[str, str]) -> None:
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    typed = "COMP_WORDS=(berth run tiny --backend t) COMP_CWORD=4; _berth_completion berth; echo ${COMPREPLY[@]}"
    done = subprocess.run(
        ["bash", "-c", f"source <(berth completion bash); {typed}"],
        env={**environment, "PATH": programs},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["transformers"]


def test_a_shells_own_file_is_added_to_once(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / ".bashrc").write_text("alias ll='ls -l'")
    for _ in range(2):
        assert run_command(("completion", "bash", "--install"), environment).code == 0
    script = tmp_path / ".bash_completions/berth.sh"
    assert (tmp_path / ".bashrc").read_text() == f"alias ll='ls -l'\nsource '{script}'\n"
