"""The unit with which systemd serves for a user."""

import os
from pathlib import Path

import pytest

from berth_local.cli.systemd_unit import unit_text
from berth_local.serve.state import locked_state
from tests.unit.local.cli.conftest import Ran, run_command


def test_the_unit_has_the_options_as_they_were_given_and_no_key() -> None:
    environment = {"PATH": "/opt/100%/bin:/bin", "HOME": "/home/me", "BERTH_API_KEY": "secret", "HF_TOKEN": "secret"}
    chosen = {"LLAMA_ARG_DEVICE": "Vulkan1"}
    lines = unit_text(["/opt/berth"], ["--alias", 'a="$b"', "--memory", "8 GB"], environment | chosen).splitlines()
    assert 'Environment="LLAMA_ARG_DEVICE=Vulkan1"' in lines
    assert r'ExecStart="/opt/berth" "up" "--alias" "a=\"$$b\"" "--memory" "8 GB"' in lines
    assert 'Environment="PATH=/opt/100%%/bin:/bin"' in lines
    assert "EnvironmentFile=-/home/me/.config/berth/environment" in lines
    assert "WantedBy=default.target" in lines
    assert "secret" not in "\n".join(lines)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a user whose systemd notes what it is told. Its main process is this one."""
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$2" = show ] && echo MainPID={os.getpid()}\n:\n'
    )
    systemctl.chmod(0o755)
    names = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "BERTH_HOME": str(tmp_path / "home"), "BERTH_URL": ""}
    return names | {"PATH": f"{systemctl.parent}:/bin:/usr/bin"}


def test_it_is_installed_started_and_removed(tmp_path: Path, environment: dict[str, str]) -> None:
    unit = tmp_path / ".config/systemd/user/berth.service"
    with locked_state(tmp_path / "home") as state:
        state.announce("http://127.0.0.1:11434", tmp_path / "models")
        ran = run_command(("service", "install", "--", "--port", "11434"), environment)
    assert (ran.code, ran.out) == (
        0,
        f"Berth serves OpenAI's API at http://127.0.0.1:11434/v1 (pid {os.getpid()}), by {unit}.\n",
    )
    assert '"up" "--port" "11434"\n' in unit.read_text()
    told = [line.removeprefix("--user ") for line in (tmp_path / "calls").read_text().splitlines()]
    assert [call for call in told if not call.startswith("show")] == [
        "daemon-reload",
        "enable berth.service",
        "restart berth.service",
    ]
    assert run_command(("service", "uninstall"), environment).code == 0
    assert "disable --now berth.service" in (tmp_path / "calls").read_text()
    assert not unit.exists()
    assert run_command(("service", "uninstall"), environment).code == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--nothing"], "no such option '--nothing' (berth up --help)"),
        (["--detach"], "leave --detach out"),
    ],
)
def test_options_that_it_cannot_have_are_told_before_anything_is_written(
    tmp_path: Path, environment: dict[str, str], options: list[str], told: str
) -> None:
    ran = run_command(("service", "install", "--", *options), environment)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert told in ran.err
    assert not (tmp_path / ".config").exists()


def test_without_systemd_it_says_what_serves_instead(environment: dict[str, str]) -> None:
    ran = run_command(("service", "install"), environment | {"PATH": "/nowhere"})
    assert ran == Ran(3, "", "berth: there is no systemctl on this machine: `berth up -d` serves without systemd\n")


def test_who_has_no_systemd_hears_how_to_serve_without(tmp_path: Path, environment: dict[str, str]) -> None:
    systemctl = tmp_path / "bin/systemctl"
    systemctl.write_text('#!/bin/sh\necho "Failed to connect to bus: No medium found" >&2\nexit 1\n')
    with locked_state(tmp_path / "home") as state:
        state.announce("http://127.0.0.1:11434", tmp_path / "models")
        ran = run_command(("service", "install"), environment)
    why = "no systemd serves you on this machine (Failed to connect to bus: No medium found)"
    assert ran == Ran(1, "", f"berth: {why}: `berth up -d` serves without it\n")
