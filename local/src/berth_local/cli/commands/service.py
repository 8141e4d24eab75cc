"""berth service: have systemd serve, from the user's login on."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from berth_local.cli.command_group import HelpfulGroup
from berth_local.cli.commands.up import up
from berth_local.cli.errors import FailedError, UnknownNameError
from berth_local.cli.printing import print_note
from berth_local.cli.systemd_unit import NAME, unit_file, unit_text, variables_file
from berth_local.serve.interface import running_server

_LOOK_SECONDS = 0.1
_START_SECONDS = 60.0


@click.group(cls=HelpfulGroup, no_args_is_help=False)
def service() -> None:
    """Have systemd serve this machine's models, from your login on."""


@service.command("install")
@click.argument("arguments", nargs=-1, metavar="[-- OPTIONS]...", help="Options of `berth up`, after --.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit, and change nothing.")
def install(arguments: tuple[str, ...], only_print: bool) -> None:
    """Write a systemd unit of yours, and start it.

    `berth service install -- --port 11434` serves with these options of `berth up`.
    """
    _check(arguments)
    text = unit_text(_program(), arguments, os.environ)
    if only_print:
        print(text, end="")
        return
    _systemctl("show-environment")  # before anything else: whether a systemd serves this user at all
    if (running := running_server()) and running.lasts and not _is_units(running.pid):
        raise FailedError(f"a server runs already, at {running.url} (pid {running.pid}): `berth down` ends it")
    file = unit_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    _systemctl("daemon-reload")
    _systemctl("enable", NAME)
    _systemctl("restart", NAME)
    _print_started(file)


@service.command("uninstall")
def uninstall() -> None:
    """End the server, and remove its unit."""
    file = unit_file()
    if not file.exists():
        raise UnknownNameError(f"there is no {file}: `berth service install` writes it")
    _systemctl("disable", "--now", NAME)
    file.unlink()
    _systemctl("daemon-reload")
    print(f"{file} is removed.")


def _check(options: Sequence[str]) -> None:
    """Raises click's error for options that `berth up` does not take, and for those that a unit cannot have."""
    if "--detach" in options or "-d" in options:
        raise click.BadParameter("systemd keeps the server itself: leave --detach out")
    up.make_context("berth up", list(options)).close()


def _program() -> list[str]:
    """The command berth, as systemd is to call it."""
    script = Path(sys.executable).with_name("berth")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "berth_local.cli.main"]


def _systemctl(*arguments: str) -> str:
    """What `systemctl --user` prints. Raises UnknownNameError where there is none, and FailedError where it fails."""
    program = shutil.which("systemctl")
    if program is None:
        raise UnknownNameError("there is no systemctl on this machine: `berth up -d` serves without systemd")
    done = subprocess.run([program, "--user", *arguments], check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        if "connect to bus" in said:
            raise FailedError(f"no systemd serves you on this machine ({said}): `berth up -d` serves without it")
        raise FailedError(f"systemctl --user {' '.join(arguments)} failed ({said or done.returncode})")
    return done.stdout


def _is_units(pid: int) -> bool:
    """Whether this is the process of the unit that is there already."""
    return shutil.which("systemctl") is not None and _systemctl("show", "--property=MainPID", NAME).strip().endswith(
        f"={pid}"
    )


def _print_started(file: Path) -> None:
    """Waits until the server takes requests, and says where. Raises FailedError."""
    deadline = time.monotonic() + _START_SECONDS
    while not (running := running_server()):
        state = _systemctl("show", "--property=SubState", NAME)
        if "failed" in state or "auto-restart" in state or time.monotonic() > deadline:
            raise FailedError(f"{NAME} does not serve: `journalctl --user --unit {NAME}` says why")
        time.sleep(_LOOK_SECONDS)
    print(f"Berth serves OpenAI's API at {running.url}/v1 (pid {running.pid}), by {file}.")
    print_note(
        f"it ends when you log out, unless `loginctl enable-linger` was called; keys belong into {variables_file()}"
    )
