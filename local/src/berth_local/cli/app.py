"""The command `berth`: its options, its commands, and how one ends."""

import io
import os
import sys
from typing import Any

import click

from berth_local.cli.command_group import CommandGroup, ReaderLeftError
from berth_local.cli.errors import CommandError, FailedError, InterruptedByUserError, UsageError
from berth_local.cli.printing import print_error
from berth_local.cli.usage import usage_message
from berth_process.setting_values import log_level
from berth_process.settings_error import SettingsError, read_variable

_WIDEST_HELP = 120

_COMMANDS = {
    "run": "run:run",
    "up": "up:up",
    "down": "down:down",
    "launch": "launch:launch",
    "ps": "ps:ps",
    "list": "models:list_models",
    "show": "show:show",
    "pull": "pull:pull",
    "rm": "models:remove",
    "stop": "stop:stop",
    "describe": "describe:describe",
    "logs": "logs:logs",
    "get": "get:get",
    "status": "status:status",
    "doctor": "doctor:doctor",
    "completion": "completion:completion",
    "version": "version:version",
    "service": "service:service",
    "engines": "engines:engines",
}
"""The module of each command in berth_local.cli.commands, and what the command is called there."""

_OTHER_NAMES = {"ls": "list"}

_ELSEWHERE = {
    "serve": "up",
    "start": "up",
    "chat": "run",
    "ask": "run",
    "models": "list",
    "download": "pull",
    "delete": "rm",
    "remove": "rm",
    "unload": "stop",
    "log": "logs",
    "help": "--help",
}
"""What other programs, Ollama and kubectl among them, call these commands."""


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from berth_local.cli.commands.version import print_version  # noqa: PLC0415 (only where it is wanted)

        print_version()
        context.exit()


@click.group(
    cls=CommandGroup,
    modules=_COMMANDS,
    other_names=_OTHER_NAMES,
    elsewhere=_ELSEWHERE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _WIDEST_HELP},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Print Berth's version.",
)
def app() -> None:
    """Ask for a language model by name and it is there: on this machine, or on a cluster with --url."""
    read_variable(os.environ, "BERTH_LOG_LEVEL", log_level, "INFO")  # which not every command uses


def exit_code(arguments: list[str]) -> int:
    """Runs the command. Prints an error in one line on stderr. The exit code."""
    _open_streams()
    code = _ended(arguments)
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    return code


def _ended(arguments: list[str]) -> int:
    try:
        _check_text(arguments)
        ended = app.main(arguments or ["--help"], prog_name="berth", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        return _failed(UsageError(usage_message(error, arguments)))
    except CommandError as error:
        return _failed(error)
    except SettingsError as error:
        return _failed(UsageError(str(error)))
    except SystemExit as answered:  # completion has answered a shell
        return answered.code if isinstance(answered.code, int) else 0
    except click.Abort:
        return _failed(InterruptedByUserError("interrupted"))
    except (ReaderLeftError, BrokenPipeError):
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        where = f"{error.filename} cannot be used" if error.filename else "what it prints cannot be written"
        return _failed(FailedError(f"{where}: {error.strerror or error}"))
    return ended if isinstance(ended, int) else 0


def _open_streams() -> None:
    """Gives the process the streams that whoever started it has closed.

    A character that a stream has not got is written as Python would: `\\xe9`.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 (it stays open as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is sys.__stderr__:
        taking = io.BufferedWriter(_Forgiving(sys.stderr.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(taking, sys.stderr.encoding, "backslashreplace", line_buffering=True)


class _Forgiving(io.FileIO):
    """A file that takes everything, also where its disk is full or nobody reads: nobody could be told of that."""

    def write(self, b: Any, /) -> int | None:
        try:
            return super().write(b)
        except OSError:
            return memoryview(b).nbytes


def _drop_output() -> None:
    """Forgets what stdout could not take. Python would try it once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_text(arguments: list[str]) -> None:
    """Raises UsageError for an argument that is not text, and for a folder without a name.

    The name of a folder may be other bytes. The empty one would be the current folder's.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument == "--models=" or (before == "--models" and not argument):
            raise UsageError("--models is '': it must be a folder of models")
        if "--models" not in (before, argument.partition("=")[0]) and not argument.isascii():
            try:
                argument.encode()
            except UnicodeEncodeError:
                raise UsageError(f"{argument!a} is not text in UTF-8") from None


def _failed(error: CommandError) -> int:
    print_error(error.message)
    return error.exit_code
