"""Options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from berth_local.cli.model_names import complete_model


class OutputFormat(StrEnum):
    """How a command prints its result: for people, or for programs."""

    TABLE = "table"
    JSON = "json"


UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="BERTH_URL", metavar="URL", show_default=False, help="The server, if not this machine's own."
    ),
]
ApiKeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="BERTH_API_KEY", metavar="KEY", show_default=False, help="The key that the server asks for."
    ),
]
OutputOption = Annotated[
    OutputFormat, typer.Option("--output", "-o", metavar="FORMAT", help="table, for people, or json, for programs.")
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        show_default=False,
        autocompletion=complete_model,
        help="Its directory's name in the model store.",
    ),
]
ModelsOption = Annotated[
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
SampleOption = Annotated[
    bool, typer.Option("--sample", help="Put a small model (SmolLM2-135M-Instruct, 98 MB) into the store first.")
]
