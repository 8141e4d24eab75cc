"""Commands whose modules are loaded when one is called: a command need not wait for what others import."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, cast

import click

from berth_local.cli.errors import InterruptedByUserError


class ReaderLeftError(Exception):
    """Whoever reads what the command prints, such as head, has read enough."""


_WHOLE = 1000
"""The characters of a command's description: more than there are."""

_PACKAGE = "berth_local.cli.commands"


class HelpfulGroup(click.Group):
    """Commands whose help says all that each of them does, where click cuts it to one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes what each command does."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(_WHOLE)) for name, command in commands if command])


class CommandGroup(HelpfulGroup):
    """Commands by name.

    `modules`: MODULE:NAME of each, in the order of the help. `other_names`: hidden ones, and what they mean.
    `elsewhere`: what other programs call these commands, for those who type it here.
    """

    def __init__(
        self,
        *,
        modules: Mapping[str, str],
        other_names: Mapping[str, str],
        elsewhere: Mapping[str, str],
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._modules = modules
        self._elsewhere = elsewhere
        self.other_names = other_names

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names that the help shows."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name. None: there is none."""
        found = self._modules.get(self.other_names.get(cmd_name, cmd_name))
        if found is None:
            return None
        module, _, name = found.partition(":")
        return cast("click.Command", getattr(import_module(f"{_PACKAGE}.{module}"), name))

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        """Reads the command line, or prints the help. Raises ReaderLeftError."""
        with _told_apart():
            return super().make_context(*arguments, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. Raises ReaderLeftError."""
        with _told_apart():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called. Raises NoSuchCommand, with the names that may be meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            if name := self._elsewhere.get(error.command_name):
                told = f"No such command {error.command_name!r}. Did you mean {name!r}?"
                raise click.NoSuchCommand(error.command_name, told, ctx=ctx) from None
            names = [*self._modules, *self.other_names]
            raise click.NoSuchCommand(error.command_name, possibilities=names, ctx=ctx) from None


@contextmanager
def _told_apart() -> Generator[None]:
    """Has a reader who left be no failure, which click makes of it, and Ctrl-C no empty line."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderLeftError from None
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # which shows ^C
        raise InterruptedByUserError("interrupted") from None
