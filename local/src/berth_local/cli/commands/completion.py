"""berth completion: the script with which a shell completes commands, options and model names."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from berth_local.cli.errors import UsageError
from berth_local.cli.printing import print_note


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_COMPLETE_VARIABLE = "_BERTH_COMPLETE"
"""The variable that a shell sets when it asks for completions."""


def prepare_completion() -> None:
    """Lets typer answer a shell that asks for completions.

    Typer does so by itself only in programs that also offer to edit the shell's files.
    """
    if _COMPLETE_VARIABLE in os.environ:
        from typer._completion_classes import completion_init  # noqa: PLC0415 (only where wanted; typer has no public way)

        completion_init()


def completion(
    shell: Annotated[
        Shell | None,
        typer.Argument(metavar="SHELL", show_default=False, help="bash, zsh or fish; yours if left out."),
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Have every new shell of yours complete; print nothing.")
    ] = False,
) -> None:
    """Print a shell's completion script, or install it.

    To try it: source <(berth completion bash)
    """
    chosen = (shell or _own_shell()).value
    # Typer has no public way, and loading it takes a while.
    from typer import _completion_shared as of_typer  # noqa: PLC0415

    if not install:
        print(of_typer.get_completion_script(prog_name="berth", complete_var=_COMPLETE_VARIABLE, shell=chosen))
        return
    install_for = {"bash": of_typer.install_bash, "zsh": of_typer.install_zsh, "fish": of_typer.install_fish}[chosen]
    file = install_for(prog_name="berth", complete_var=_COMPLETE_VARIABLE, shell=chosen)
    print_note(f"{file} completes berth in every new {chosen}")


def _own_shell() -> Shell:
    """The shell that the user logs in with. Raises UsageError."""
    name = Path(os.environ.get("SHELL", "")).name
    if name not in list(Shell):
        raise UsageError(f"SHELL must say which: {', '.join(Shell)}")
    return Shell(name)
