"""berth stop: give a model's memory back now."""

import click

from berth_local.cli.connection import Target, connect
from berth_local.cli.errors import UsageError
from berth_local.cli.model_lookup import with_model
from berth_local.cli.options import OutputFormat, api_key_option, optional_model, output_option, url_option
from berth_local.cli.printing import counted, print_json, print_note, with_names


@click.command()
@optional_model("Its directory's name in the model store.")
@click.option("--all", "everything", is_flag=True, help="Every model that runs.")
@output_option
@url_option
@api_key_option
def stop(model: str | None, everything: bool, output: OutputFormat, url: str | None, api_key: str | None) -> None:
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
