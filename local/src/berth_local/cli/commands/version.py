"""berth version."""

from pathlib import Path

import click

from berth_local.cli.options import OutputFormat, output_option
from berth_local.cli.printing import print_json


@click.command()
@output_option
def version(output: OutputFormat) -> None:
    """Print Berth's version, and the commit that it was made from."""
    print_version(output)


def print_version(output: OutputFormat = OutputFormat.TABLE) -> None:
    """The version of what is installed, and its commit where that is known."""
    from berth_process.release import commit, release  # noqa: PLC0415 (only where it is wanted)

    installed, made_from = release("berth-local"), commit(Path(__file__).parents[2])
    if output is OutputFormat.JSON:
        print_json({"version": installed, "commit": made_from})
    else:
        print(f"berth {installed}{f' ({made_from})' if made_from else ''}")
