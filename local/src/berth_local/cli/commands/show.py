"""berth show: what a model of the store is."""

from typing import TYPE_CHECKING, Any

import click

from berth_local.cli.connection import Target, connect_or_serve
from berth_local.cli.errors import CommandError, UnknownNameError
from berth_local.cli.model_lookup import with_model
from berth_local.cli.options import OutputFormat, api_key_option, model_argument, output_option, url_option
from berth_local.cli.printing import count, model_name, print_facts, print_json, size
from berth_local.cli.words import plan_words

if TYPE_CHECKING:
    from berth_local.cli.client import Client

_GB = 1e9
_ABILITIES = ("tools", "vision", "thinking")


@click.command()
@model_argument
@click.option("--template", is_flag=True, help="Print its chat template alone.")
@output_option
@url_option
@api_key_option
def show(model: str, template: bool, output: OutputFormat, url: str | None, api_key: str | None) -> None:
    """Show what a model is, which engines take it, and whether it would fit."""
    with connect_or_serve(Target(url, api_key)) as client:
        told = with_model(client, model, lambda name: _told(client, name))
    if template:
        if not told["template"]:
            raise UnknownNameError(f"{model} has no chat template")
        print(told["template"])
    elif output is OutputFormat.JSON:
        print_json(told)
    else:
        print_facts(lines(told))


def _told(client: "Client", name: str) -> dict[str, Any]:
    """The model of the inventory, with its template and the plan of its start. Raises UnknownNameError."""
    wanted = model_name(name).partition("@")[0]
    models: list[dict[str, Any]] = client.get("/v1/models/inventory")["models"]
    found = next((each for each in models if each["name"] == wanted), None)
    if found is None:
        raise UnknownNameError(f"The model {name} is not in the model store. `berth list` lists it.", "model_not_found")
    return {
        **found,
        "template": client.post("/api/show", {"model": wanted}).get("template") or None,
        "plan": _plan(client, name),
    }


def _plan(client: "Client", name: str) -> dict[str, Any]:
    """What would happen if it were asked now; why that cannot be said is part of it."""
    try:
        return client.post("/v1/models/plan", {"model": name})
    except CommandError as error:
        return {"outcome": "cannot_start", "message": error.message}


def lines(told: dict[str, Any]) -> dict[str, str]:
    """What is known of the model, by the names of the lines."""
    manifest: dict[str, Any] = told.get("manifest") or {}
    plan: dict[str, Any] = told["plan"]
    abilities = [name for name in _ABILITIES if told.get(name)]
    known = {
        "Model": told["name"],
        "Size": size(told["size_gb"] * _GB),
        "Format": " ".join(filter(None, (told.get("format"), told.get("quantization")))),
        "Architecture": told.get("architecture"),
        "Parameters": count(told["parameters"]) if told.get("parameters") else None,
        "Context": f"{told['context_length']} tokens" if told.get("context_length") else None,
        "For": ", ".join(filter(None, (told.get("kind"), *abilities))),
        "Licence": told.get("license"),
        "Template": "its own; --template prints it" if told["template"] else "none",
        "Source": " at ".join(filter(None, (manifest.get("repository"), manifest.get("commit")))),
        "Engines": ", ".join(told["recommended_backends"]) or "none of this installation",
        "Broken": told.get("broken"),
        # Of a broken model it is not known what it needs.
        "Now": None if told.get("broken") and plan["outcome"] == "fits" else f"{plan['outcome']}: {plan_words(plan)}",
    }
    return {name: value for name, value in known.items() if value}
