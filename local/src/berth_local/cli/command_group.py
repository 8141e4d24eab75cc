"""Commands whose modules are loaded when one is called: a command need not wait for what others import."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

import click

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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called. Raises NoSuchCommand, with the names that may be meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            names = [*self._modules, *self.other_names]
            raise click.NoSuchCommand(error.command_name, possibilities=names, ctx=ctx) from None
