"""berth stop: give a model's memory back now."""

from typing import Annotated

import typer

from berth_local.cli.connection import Target, connect
from berth_local.cli.errors import UsageError
from berth_local.cli.model_lookup import with_model
from berth_local.cli.model_names import complete_model
from berth_local.cli.options import ApiKeyOption, OutputFormat, OutputOption, UrlOption
from berth_local.cli.printing import counted, print_json, print_note, with_names


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
    output: OutputOption = OutputFormat.TABLE,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """Unload a model; its files stay.

    Answers under way end first.
    """
    if everything == (model is not None):
        raise UsageError("name one MODEL, or all with --all: `berth ps` shows what runs")
    with connect(Target(url, api_key)) as client:
        unloaded = (
            client.post("/v1/models/unload-all")
            if model is None
            else with_model(client, model, lambda name: client.post("/v1/models/unload", {"model": name}))
        )
    if output is OutputFormat.JSON:
        print_json(unloaded)
    elif model is not None:
        print(with_names(unloaded["message"]))
    elif unloaded["unloaded"]:
        print(f"{counted(len(unloaded['unloaded']), 'model')} unloaded.")
    else:
        print_note("no model runs")
