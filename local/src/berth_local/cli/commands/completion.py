"""berth completion: the script with which a shell completes commands, options and model names."""

import os
from enum import StrEnum
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from berth_local.cli.errors import UsageError
from berth_local.cli.options import OneOf
from berth_local.cli.printing import print_note
from berth_local.serve.interface import user_home


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_COMPLETE_VARIABLE = "_BERTH_COMPLETE"
"""The variable that a shell sets when it asks for completions: click's name for it."""

_FILES = {
    Shell.BASH: ".bash_completions/berth.sh",
    Shell.ZSH: ".zfunc/_berth",
    Shell.FISH: ".config/fish/completions/berth.fish",
}
"""Where the script goes, in the user's home directory."""

_LOADED_BY = {
    Shell.BASH: (".bashrc", "source '{file}'"),
    Shell.ZSH: (".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"),
}
"""The file that every new shell reads, and the line in it that finds the script. Fish finds it by itself."""


@click.command()
@click.argument(
    "shell", required=False, metavar="[SHELL]", type=OneOf(Shell), help="bash, zsh or fish; yours if left out."
)
@click.option("--install", is_flag=True, help="Have every new shell of yours complete; print nothing.")
def completion(shell: Shell | None, install: bool) -> None:
    """Print a shell's completion script, or install it.

    To try it: source <(berth completion bash)
    """
    chosen = shell or _own_shell()
    script = _script(chosen)
    if not install:
        print(script)
        return
    file = user_home() / _FILES[chosen]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{script}\n")
    if chosen in _LOADED_BY:
        name, line = _LOADED_BY[chosen]
        _add_line(user_home() / name, line.format(file=file))
    print_note(f"{file} completes berth in every new {chosen}")


def _script(shell: Shell) -> str:
    made_by = {Shell.BASH: BashComplete, Shell.ZSH: ZshComplete, Shell.FISH: FishComplete}[shell]
    return made_by(click.get_current_context().find_root().command, {}, "berth", _COMPLETE_VARIABLE).source().strip()


def _add_line(file: Path, line: str) -> None:
    """Adds the line to the end of the file, if it is not in it."""
    before = file.read_text() if file.exists() else ""
    if line not in before.splitlines():
        file.write_text(f"{before}{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n")


def _own_shell() -> Shell:
    """The shell that the user logs in with. Raises UsageError."""
    name = Path(os.environ.get("SHELL", "")).name
    if name not in list(Shell):
        raise UsageError(f"SHELL must say which: {', '.join(Shell)}")
    return Shell(name)
