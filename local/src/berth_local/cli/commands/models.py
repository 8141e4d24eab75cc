"""berth list and berth rm: the model store."""

from typing import Any
from urllib.parse import quote

import click

from berth_local.cli.connection import Target, connect_or_serve, store_of
from berth_local.cli.errors import UnknownNameError
from berth_local.cli.fetching import fetched_now, fetched_words
from berth_local.cli.model_lookup import explained, model_names
from berth_local.cli.options import OutputFormat, api_key_option, model_argument, output_option, url_option
from berth_local.cli.printing import (
    Column,
    count,
    model_name,
    print_json,
    print_note,
    print_table,
    size,
    with_names,
    without_empty,
)
from berth_local.serve.interface import left_out

_GB = 1e9

_COLUMNS = (
    Column("MODEL"),
    Column("SIZE", right=True),
    Column("FORMAT", rank=2),
    Column("QUANTIZATION", rank=1),
    Column("PARAMETERS", rank=3, right=True),
    Column("CONTEXT", rank=4, right=True),
    Column("ENGINES", rank=5),
)


@click.command()
@output_option
@url_option
@api_key_option
def list_models(output: OutputFormat, url: str | None, api_key: str | None) -> None:
    """Show the models of the store."""
    with connect_or_serve(Target(url, api_key)) as client:
        inventory = client.get("/v1/models/inventory")
        store, fetched = store_of(client), fetched_now(client)
    if output is OutputFormat.JSON:
        print_json(inventory)
        return
    models: list[dict[str, Any]] = inventory["models"]
    if not models and not fetched:
        where = f"the store {store}" if store else "the store"
        print_note(f"{where} is empty: `berth pull REPO` fetches a model, `berth run --sample` a small one")
    elif models:
        print_table(*without_empty(_COLUMNS, [row(model) for model in models]))
    for model in models:
        if model.get("broken"):
            print_note(f"{model['name']} cannot be loaded: {model['broken']}")
    for job in fetched:
        print_note(fetched_words(job, one_machine=store is not None))
    for reason in left_out(store, {model["name"].partition("/")[0] for model in models}) if store else ():
        print_note(reason)


def row(model: dict[str, Any]) -> list[str]:
    """The cells of a model of the store."""
    return [
        model["name"],
        size(model["size_gb"] * _GB),
        "broken" if model.get("broken") else model.get("format") or "-",
        model.get("quantization") or "-",
        count(model.get("parameters")),
        count(model.get("context_length")),
        ", ".join(model["recommended_backends"]) or "-",
    ]


@click.command()
@model_argument
@output_option
@url_option
@api_key_option
def remove(model: str, output: OutputFormat, url: str | None, api_key: str | None) -> None:
    """Delete a model from the store."""
    name = _checked_name(model)
    with connect_or_serve(Target(url, api_key)) as client:
        try:
            removed = client.delete(f"/v1/models/inventory/{quote(name)}")
        except UnknownNameError as error:
            raise explained(error, client, name, model_names(client)) from None
    if output is OutputFormat.JSON:
        print_json(removed)
    else:
        print(with_names(removed["message"]))


def _checked_name(model: str) -> str:
    """The model's path below the store.

    Raises UnknownNameError if it would lead out of there, and so to another part of the API.
    """
    name = model_name(model)
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise UnknownNameError(f"no model is called {model!r}: `berth list` shows those there are")
    return name
