"""berth version."""

from pathlib import Path

from berth_local.cli.options import OutputFormat, OutputOption
from berth_local.cli.printing import print_json


def version(output: OutputOption = OutputFormat.TABLE) -> None:
    """Print Berth's version, and the commit that it was made from."""
    from berth_process.release import commit, release  # noqa: PLC0415 (only where it is wanted)

    installed, made_from = release("berth-local"), commit(Path(__file__).parents[2])
    if output is OutputFormat.JSON:
        print_json({"version": installed, "commit": made_from})
    else:
        print(f"berth {installed}{f' ({made_from})' if made_from else ''}")
