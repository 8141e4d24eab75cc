"""The command `berth`."""

import os
import sys
from typing import Annotated

import typer

from berth_local.cli.commands import (
    completion,
    down,
    get,
    launch,
    logs,
    models,
    ps,
    pull,
    run,
    service,
    status,
    stop,
    up,
    version,
)
from berth_local.cli.errors import CommandError, InterruptedByUserError, UsageError
from berth_local.cli.printing import print_error
from berth_process.settings_error import SettingsError

_WIDEST_HELP = 120

_WORDS = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "it must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "it must be a number",
    "Input should be": "it must be",
}
"""Words of typer's errors, and the words that the command prints in their place."""

app = typer.Typer(
    name="berth",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help is printed at once, and is as readable in a pipe
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDEST_HELP},
)

for _name, _command in (
    ("run", run.run),
    ("up", up.up),
    ("down", down.down),
    ("launch", launch.launch),
    ("ps", ps.ps),
    ("list", models.list_models),
    ("pull", pull.pull),
    ("rm", models.remove),
    ("stop", stop.stop),
    ("logs", logs.logs),
    ("get", get.get),
    ("status", status.status),
    ("completion", completion.completion),
    ("version", version.version),
):
    app.command(_name)(_command)
app.add_typer(service.service, name="service")
app.command("ls", hidden=True)(models.list_models)


def _show_version(wanted: bool) -> None:
    if wanted:
        version.version()
        raise typer.Exit


@app.callback()
def berth(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print Berth's version.")
    ] = False,
) -> None:
    """Ask for a language model by name and it is there: on this machine, or on a cluster with --url."""


def main() -> None:
    """Runs the command and ends the process with its exit code."""
    sys.exit(exit_code(sys.argv[1:]))


def exit_code(arguments: list[str]) -> int:
    """Runs the command. Prints an error in one line on stderr. The exit code."""
    completion.prepare_completion()
    try:
        _check_text(arguments)
        ended = app(arguments or ["--help"], prog_name="berth", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _failed(UsageError(_usage(error)))
    except CommandError as error:
        return _failed(error)
    except SettingsError as error:
        return _failed(UsageError(str(error)))
    except SystemExit as answered:  # completion has answered a shell
        return answered.code if isinstance(answered.code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _failed(InterruptedByUserError("interrupted"))
    except BrokenPipeError:  # the reader, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return ended if isinstance(ended, int) else 0


def _check_text(arguments: list[str]) -> None:
    """Raises UsageError for an argument that is not text. The name of a folder may be other bytes."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if "--models" not in (before, argument.partition("=")[0]) and not argument.isascii():
            try:
                argument.encode()
            except UnicodeEncodeError:
                raise UsageError(f"{argument!a} is not text in UTF-8") from None


def _usage(error: typer.TyperException) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    for words, ours in _WORDS.items():
        message = message.replace(words, ours)
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "berth"
    return f"{message[:1].lower()}{message[1:]} ({command} --help)"


def _failed(error: CommandError) -> int:
    print_error(error.message)
    return error.exit_code
