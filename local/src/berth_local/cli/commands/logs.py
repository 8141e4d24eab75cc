"""berth logs: what an engine printed."""

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from berth_local.cli.commands.ps import loaded_models
from berth_local.cli.connection import Target, connect
from berth_local.cli.errors import FailedError, UnknownNameError, UsageError
from berth_local.cli.model_lookup import with_model
from berth_local.cli.model_names import complete_engine
from berth_local.cli.options import api_key_option, optional_model, url_option
from berth_local.cli.printing import model_name

if TYPE_CHECKING:
    from berth_local.cli.client import Client


@click.command()
@optional_model("Its name, or that of a deployment; the only one that `berth ps` shows if left out.")
@click.option(
    "--backend", metavar="ENGINE", shell_complete=complete_engine, help="That of this engine, if it has several."
)
@click.option("--follow", "-f", is_flag=True, help="Go on as more comes, until Ctrl-C.")
@click.option(
    "--tail", type=click.IntRange(min=0), default=200, show_default=True, metavar="N", help="So many of the last lines."
)
@url_option
@api_key_option
def logs(model: str | None, backend: str | None, follow: bool, tail: int, url: str | None, api_key: str | None) -> None:
    """Show what a model's engine printed, also one that failed or has gone."""
    with connect(Target(url, api_key)) as client:
        wanted = {"follow": str(follow).lower(), "tail": str(tail)}
        with_model(client, model or _only_one(client), lambda name: _print_logs(client, name, backend, wanted))


def _only_one(client: "Client") -> str:
    """The deployment that there is. Raises UsageError if there are several, or none."""
    names = [one["deployment"] for one in loaded_models(client)["loaded_models"]]
    if len(names) != 1:
        raise UsageError(f"MODEL must say which: {', '.join(names)}" if names else "MODEL is missing: nothing runs now")
    return names[0]


def _print_logs(client: "Client", name: str, backend: str | None, wanted: dict[str, str]) -> None:
    """Raises UnknownNameError if there is no such model, or nothing of it has run."""
    tried = [f"/models/{model_name(name)}", name]
    if backend:
        tried = [client.get("/v1/models/manifest", model=name, backend=backend)["metadata"]["name"]]
    try:
        for each in tried:
            with suppress(UnknownNameError):
                for line in client.lines(f"/v1/models/loaded/{quote(each, safe='')}/logs", **wanted):
                    print(line, flush=True)
                return
    except FailedError as error:
        if error.code != "unknown_path":
            raise
        deployment = client.get("/v1/models/manifest", model=name)["metadata"]["name"]
        raise FailedError(
            f"a cluster keeps its engines' logs itself: kubectl logs --selector berth.dev/deployment={deployment}"
        ) from None
    client.get("/v1/models/manifest", model=name)  # raises if there is no such model
    raise UnknownNameError(f"no engine of {name} has run since this server started")
