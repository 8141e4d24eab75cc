"""berth stop: give a model's memory back now."""

from typing import Annotated

import typer

from berth_local.cli.names import complete_model
from berth_local.cli.options import ApiKey, Format, Output, Url
from berth_local.connection import Server, connect
from berth_local.errors import UsageError
from berth_local.output import print_json


def stop(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            autocompletion=complete_model,
            help="Its directory's name in the model store.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model that runs.")] = False,
    output: Output = Format.TABLE,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Unload a model; its files stay.

    Answers under way end first.
    """
    if everything == (model is not None):
        raise UsageError("name one MODEL, or all with --all: `berth ps` shows what runs")
    with connect(Server(url, api_key)) as client:
        unloaded = (
            client.post("/v1/models/unload-all") if everything else client.post("/v1/models/unload", {"model": model})
        )
    if output is Format.JSON:
        print_json(unloaded)
    else:
        print(unloaded["message"])
