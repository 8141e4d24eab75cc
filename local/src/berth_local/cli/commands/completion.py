"""berth completion: the script with which a shell completes commands, options and model names."""

import os
from enum import StrEnum
from typing import Annotated

import typer


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
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", show_default=False, help="bash, zsh or fish.")],
) -> None:
    """Print a shell's completion script.

    To try it: source <(berth completion bash)
    """
    from typer._completion_shared import get_completion_script  # noqa: PLC0415 (only where wanted; typer has no public way)

    print(get_completion_script(prog_name="berth", complete_var=_COMPLETE_VARIABLE, shell=shell.value))
