"""berth engines: those that this machine has or can have."""

from typing import TYPE_CHECKING, Any

import click

from berth_local.cli.command_group import HelpfulGroup
from berth_local.cli.commands.ps import loaded_models
from berth_local.cli.connection import Target, connect, failure
from berth_local.cli.errors import FailedError, NoServerError, UnknownNameError
from berth_local.cli.options import OutputFormat, output_option
from berth_local.cli.printing import Column, model_name, print_json, print_note, print_table
from berth_local.serve.interface import StartError, describe_machine, install_engine, remove_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COLUMNS = (Column("ENGINE"), Column("DEVICES", rank=2), Column("INSTALLED"), Column("WHERE", rank=1))
_INSTALLABLE = ("transformers", "vllm")


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in _INSTALLABLE if name.startswith(incomplete)]


engine_argument = click.argument("engine", metavar="ENGINE", shell_complete=_complete, help=" or ".join(_INSTALLABLE))


@click.group(cls=HelpfulGroup, invoke_without_command=True)
@click.pass_context
def engines(context: click.Context) -> None:
    """The engines of this machine: list, install, remove."""
    if context.invoked_subcommand is None:
        context.invoke(list_engines)


@engines.command("list")
@output_option
def list_engines(output: OutputFormat) -> None:
    """Show the engines that this machine has or can have."""
    found: list[dict[str, Any]] = describe_machine()["engines"]
    if output is OutputFormat.JSON:
        print_json({"engines": found})
        return
    rows = [[each["name"], ",".join(each["devices"]), _installed(each), each["where"]] for each in found]
    print_table(_COLUMNS, rows)


def _installed(engine: dict[str, Any]) -> str:
    return "yes" if engine["installed"] else "at the first use"


@engines.command("install")
@engine_argument
def install(engine: str) -> None:
    """Install an engine now, instead of at its first use.

    It takes some gigabytes, and a minute or two.
    """
    print_note(f"{engine} is in {_changed(install_engine, engine)}")


@engines.command("remove")
@engine_argument
def remove(engine: str) -> None:
    """Remove an engine that Berth has installed; the next use installs it again."""
    _check_unused(engine)
    folder = _changed(remove_engine, engine)
    if folder is None:
        raise UnknownNameError(f"{engine} is not installed: `berth engines` lists those that are")
    print_note(f"{engine} is removed; `uv cache clean` frees what uv has kept of it too")


def _changed(change: "Callable[[str], Path | None]", engine: str) -> "Path | None":
    try:
        return change(engine)
    except StartError as error:
        raise failure(error) from None


def _check_unused(engine: str) -> None:
    """Raises FailedError if a model of this machine's server runs with it."""
    try:
        with connect(Target()) as client:
            using = [one for one in loaded_models(client)["loaded_models"] if one["backend"] == engine]
    except NoServerError:
        return
    if running := [model_name(one["model_path"]) for one in using if one["phase"] != "Stalled"]:
        raise FailedError(f"{running[0]} runs with {engine}: `berth stop {running[0]}` ends it")
