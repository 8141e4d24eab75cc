"""berth version."""

from berth_local.cli.options import OutputFormat, OutputOption
from berth_local.cli.printing import print_json


def version(output: OutputOption = OutputFormat.TABLE) -> None:
    """Print Berth's version."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 (only where it is wanted)

    installed = version_of("berth-local")
    if output is OutputFormat.JSON:
        print_json({"version": installed})
    else:
        print(f"berth {installed}")
