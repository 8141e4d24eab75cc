"""Options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from berth_local.cli.names import complete_model


class Format(StrEnum):
    """For whom a command prints."""

    TABLE = "table"
    JSON = "json"


Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="BERTH_URL", metavar="URL", show_default=False, help="The server, if not this machine's own."
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="BERTH_API_KEY", metavar="KEY", show_default=False, help="The key that the server asks for."
    ),
]
Output = Annotated[
    Format, typer.Option("--output", "-o", metavar="FORMAT", help="table, for people, or json, for programs.")
]
ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        show_default=False,
        autocompletion=complete_model,
        help="Its directory's name in the model store.",
    ),
]
Models = Annotated[
    Path | None,
    typer.Option(
        "--models",
        metavar="DIR",
        show_default=False,
        file_okay=False,
        exists=True,
        help="A directory of models to serve instead of Berth's own.",
    ),
]
Sample = Annotated[
    bool, typer.Option("--sample", help="Put a small model (SmolLM2-135M-Instruct, 98 MB) into the store first.")
]
