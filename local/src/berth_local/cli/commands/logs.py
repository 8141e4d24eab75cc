"""berth logs: what an engine printed."""

from typing import Annotated
from urllib.parse import quote

import typer

from berth_local.cli.connection import Target, connect
from berth_local.cli.errors import FailedError
from berth_local.cli.model_lookup import with_model
from berth_local.cli.options import ApiKeyOption, ModelArgument, UrlOption


def logs(
    model: ModelArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more comes, until Ctrl-C.")] = False,
    tail: Annotated[int, typer.Option(metavar="N", min=0, help="So many of the last lines.")] = 200,
    url: UrlOption = None,
    api_key: ApiKeyOption = None,
) -> None:
    """Show what a model's engine printed."""
    with connect(Target(url, api_key)) as client:
        manifest = with_model(client, model, lambda name: client.get("/v1/models/manifest", model=name))
        deployment = manifest["metadata"]["name"]
        try:
            for line in client.lines(
                f"/v1/models/loaded/{quote(deployment, safe='')}/logs",
                follow=str(follow).lower(),
                tail=str(tail),
            ):
                print(line, flush=True)
        except FailedError as error:
            if error.code != "unknown_path":
                raise
            raise FailedError(
                f"a cluster keeps its engines' logs itself: kubectl logs --selector berth.dev/deployment={deployment}"
            ) from None
