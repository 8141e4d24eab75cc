"""berth get: a model as the resource that a cluster takes."""

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import click

from berth_local.cli.commands.ps import loaded_models, print_models
from berth_local.cli.connection import Target, connect_or_serve
from berth_local.cli.model_lookup import with_model
from berth_local.cli.options import OneOf, api_key_option, optional_model, url_option
from berth_local.cli.printing import print_json, print_note

if TYPE_CHECKING:
    from berth_local.cli.client import Client


class ManifestFormat(StrEnum):
    """How a manifest is written."""

    YAML = "yaml"
    JSON = "json"


@click.command()
@optional_model("Its name, or that of a deployment; all that `berth ps` shows if left out.")
@click.option(
    "--output",
    "-o",
    type=OneOf(ManifestFormat),
    metavar="FORMAT",
    help="yaml or json; without MODEL a list if left out.",
)
@url_option
@api_key_option
def get(model: str | None, output: ManifestFormat | None, url: str | None, api_key: str | None) -> None:
    """Print a model as a Kubernetes resource.

    It is the ModelDeployment that serves the model: what `kubectl apply` takes.
    """
    with connect_or_serve(Target(url, api_key)) as client:
        if model is not None:
            _print_manifest(with_model(client, model, lambda name: _manifest(client, name)), output)
            return
        models: list[dict[str, Any]] = loaded_models(client)["loaded_models"]
        if output is not None:
            items = [_manifest(client, one["deployment"]) for one in models]
            _print_manifest({"apiVersion": "v1", "kind": "List", "items": items}, output)
        elif models:
            print_models(models)
        else:
            print_note("no model runs: `berth get MODEL` prints what would")


def _manifest(client: "Client", name: str) -> dict[str, Any]:
    return dict(client.get("/v1/models/manifest", model=name))


def _print_manifest(manifest: dict[str, Any], output: ManifestFormat | None) -> None:
    if output is ManifestFormat.JSON:
        print_json(manifest)
        return
    import yaml  # noqa: PLC0415 (only where it is wanted)

    plain = json.loads(json.dumps(manifest))  # YAML knows Python's own dictionaries alone
    print(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120), end="")
