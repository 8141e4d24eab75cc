"""The unit with which systemd serves for a user: its text, and where it is."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from berth_local.serve.interface import user_home

NAME = "berth.service"

_KEPT = (
    *("PATH", "BERTH_HOME", "XDG_DATA_HOME", "HF_ENDPOINT"),
    *("CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES", "LLAMA_ARG_DEVICE"),
)
"""Variables of whoever installs the unit that its server gets too. No key is among them: the unit is no secret."""

_ENDING_SECONDS = 30
"""Longer than answers under way and engines get to end."""


def unit_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where systemd looks for the user's unit."""
    return _configuration(environment) / "systemd/user" / NAME


def variables_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user may put variables for the server, such as keys."""
    return _configuration(environment) / "berth/environment"


def unit_text(program: Sequence[str], options: Sequence[str], environment: Mapping[str, str]) -> str:
    """The unit. `program`: the command berth. `options`: those of `berth up`."""
    command = " ".join(_quoted(word).replace("$", "$$") for word in (*program, "up", *options))
    kept = [f"Environment={_quoted(f'{name}={environment[name]}')}" for name in _KEPT if environment.get(name)]
    return "\n".join(
        [
            "# Written by `berth service install`. Variables such as HF_TOKEN and BERTH_API_KEY belong into the",
            "# EnvironmentFile, a NAME=VALUE a line.",
            "[Unit]",
            "Description=Berth: language models of this machine",
            "",
            "[Service]",
            "Type=exec",
            f"ExecStart={command}",
            *kept,
            f"EnvironmentFile=-{_escaped(str(variables_file(environment)))}",
            "Restart=on-failure",
            "RestartSec=5",
            "RestartPreventExitStatus=2",
            # Berth ends its engines itself, once they have answered. What is left at last systemd kills.
            "KillMode=mixed",
            f"TimeoutStopSec={_ENDING_SECONDS}",
            "",
            "[Install]",
            "WantedBy=default.target",
            "",
        ]
    )


def _configuration(environment: Mapping[str, str]) -> Path:
    stated = environment.get("XDG_CONFIG_HOME")
    return Path(stated) if stated else Path(environment.get("HOME") or user_home()) / ".config"


def _escaped(text: str) -> str:
    """The text without a meaning for systemd: % begins a specifier."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """The word as systemd reads it back, in quotes."""
    for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("\n", "\\n")):
        word = word.replace(plain, written)
    return f'"{word}"'
