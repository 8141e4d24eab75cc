"""Commands whose modules are loaded when one is called: a command need not wait for what others import."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, cast

import click


class ReaderLeftError(Exception):
    """Whoever reads what the command prints, such as head, has read enough."""


_PACKAGE = "berth_local.cli.commands"


class CommandGroup(click.Group):
    """Commands by name.

    `modules`: MODULE:NAME of each, in the order of the help. `other_names`: hidden ones, and what they mean.
    """

    def __init__(self, *, modules: Mapping[str, str], other_names: Mapping[str, str], **settings: Any) -> None:
        super().__init__(**settings)
        self._modules = modules
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
            names = [*self._modules, *self.other_names]
            raise click.NoSuchCommand(error.command_name, possibilities=names, ctx=ctx) from None


@contextmanager
def _told_apart() -> Generator[None]:
    """Has a reader who left be no failure, which click makes of it."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderLeftError from None
