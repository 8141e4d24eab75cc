"""berth version."""

from berth_local.cli.options import Format, Output
from berth_local.output import print_json


def version(output: Output = Format.TABLE) -> None:
    """Print Berth's version."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 (only where it is wanted)

    installed = version_of("berth-local")
    if output is Format.JSON:
        print_json({"version": installed})
    else:
        print(f"berth {installed}")
