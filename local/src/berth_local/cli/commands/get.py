"""berth get: a model as the resource that a cluster takes."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from berth_local.cli.connection import Target, connect_or_serve
from berth_local.cli.model_lookup import with_model
from berth_local.cli.options import ApiKeyOption, ModelArgument, UrlOption
from berth_local.cli.printing import print_json


class ManifestFormat(StrEnum):
    """How a manifest is written."""

    YAML = "yaml"
    JSON = "json"


def get(
    model: ModelArgument,
    output: Annotated[
        ManifestFormat, typer.Option("--output", "-o", metavar="FORMAT", help="yaml or json.")
    ] = ManifestFormat.YAML,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """Print a model as a Kubernetes resource.

    It is the ModelDeployment that serves the model: what `kubectl apply` takes.
    """
    with connect_or_serve(Target(url, api_key)) as client:
        manifest: dict[str, Any] = with_model(client, model, lambda name: client.get("/v1/models/manifest", model=name))
    if output is ManifestFormat.JSON:
        print_json(manifest)
        return
    import yaml  # noqa: PLC0415 (only where it is wanted)

    print(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120), end="")
