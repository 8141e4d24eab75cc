"""docs/reference/cli.md, from the commands in local/src/berth_local/cli."""

from collections.abc import Iterator

import click

from berth_local.cli import errors
from berth_local.cli.app import app
from reference.markdown import page, paragraph

_WIDTH = 100
"""Columns of the help in the page."""


def cli_page() -> str:
    """The page: the help of each command, and the exit codes."""
    intro = paragraph(
        "What `berth COMMAND --help` prints. [One machine](../how-to/one-machine.md) shows the commands in use, "
        "which server a command speaks to, and where files are."
    )
    codes = paragraph("An error is one line on stderr: what is wrong, and what would be right.")
    return page(
        "The command berth",
        "the commands in local/src/berth_local/cli",
        intro,
        *_commands(),
        "## Exit codes",
        codes,
        "\n".join(["| code | meaning |", "| --- | --- |", "| 0 | The command is done. |", *_exit_codes()]),
    )


def _commands() -> Iterator[str]:
    root = click.Context(app)
    for name in app.list_commands(root):
        _, command, _ = app.resolve_command(root, [name])
        if command is None:
            continue
        yield f"## `berth {name}`"
        yield _help(f"berth {name}", command)
        if isinstance(command, click.Group):
            for part, subcommand in command.commands.items():
                yield _help(f"berth {name} {part}", subcommand)
        yield from (f"`berth {other}` is the same." for other, meant in app.other_names.items() if meant == name)


def _help(path: str, command: click.Command) -> str:
    context = command.make_context(
        path, [], resilient_parsing=True, terminal_width=_WIDTH, help_option_names=["-h", "--help"]
    )
    return f"```text\n{command.get_help(context)}\n```"


def _exit_codes() -> Iterator[str]:
    ends = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.CommandError)]
    for end in sorted(ends, key=lambda one: one.exit_code):
        if end is not errors.CommandError:
            yield f"| {end.exit_code} | {(end.__doc__ or '').splitlines()[0]} |"
