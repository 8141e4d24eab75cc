"""berth completion: what a shell needs to complete commands, options and model names."""

import os
from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """Shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_COMPLETE_VARIABLE = "_BERTH_COMPLETE"
"""Set by a shell that wants to know how a command line may go on."""


def prepare_completion() -> None:
    """Lets typer answer a shell that asks for completions.

    Typer does so by itself only in programs that also offer to edit the shell's files.
    """
    if _COMPLETE_VARIABLE in os.environ:
        from typer._completion_classes import completion_init  # noqa: PLC0415 (only where wanted; typer has no public way)

        completion_init()


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", show_default=False, help="bash, zsh or fish.")],
) -> None:
    """Print a shell's completion script.

    To try it: source <(berth completion bash)
    """
    from typer._completion_shared import get_completion_script  # noqa: PLC0415 (only where wanted; typer has no public way)

    print(get_completion_script(prog_name="berth", complete_var=_COMPLETE_VARIABLE, shell=shell.value))
