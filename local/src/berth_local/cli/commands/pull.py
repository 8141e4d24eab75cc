"""berth pull: fetch a model from the hub."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from berth_local.cli.connection import Target, connect_or_serve, store_of
from berth_local.cli.errors import (
    CommandError,
    FailedError,
    InterruptedByUserError,
    NotNowError,
    UnknownNameError,
    UsageError,
)
from berth_local.cli.fetching import FAILED, followed
from berth_local.cli.options import OutputFormat, api_key_option, output_option, url_option
from berth_local.cli.printing import counted, model_name, print_json, print_note, size
from berth_local.serve.interface import running_server

if TYPE_CHECKING:
    from berth_local.cli.client import Client

_HOSTS = ("hf.co/", "huggingface.co/")
_ERRORS: Mapping[str, type[CommandError]] = {
    "RepositoryNotFound": UnknownNameError,
    "RevisionNotFound": UnknownNameError,
    "QuantizationNotFound": UnknownNameError,
    "InvalidSettings": UsageError,
}
"""The errors for the reasons of a download that has failed; of all others it is FailedError."""


@click.command()
@click.argument(
    "repository", metavar="REPO[:QUANT]", help="As org/name, org/name:Q4_K_M, org/name@revision or a URL of the hub."
)
@click.option("--name", "destination", metavar="NAME", help="What to call it in the store, if not as the repository.")
@click.option("--include", multiple=True, metavar="GLOB", help="Take only files that match; may be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave files out that match; may be repeated.")
@output_option
@url_option
@api_key_option
def pull(
    repository: str,
    destination: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    output: OutputFormat,
    url: str | None,
    api_key: str | None,
) -> None:
    """Fetch a model from the hub.

    A download that was interrupted goes on where it was.
    """
    source, quantization = parsed_repository(repository)
    wanted = {
        "url": source,
        "quantization": quantization,
        "destination": destination,
        "include": include,
        "exclude": exclude,
    }
    with connect_or_serve(Target(url, api_key)) as client:
        stays = _stays(client)
        stated = {name: value for name, value in wanted.items() if value}
        begins = _tell_size(client, stated)
        job, store = client.post("/v1/models/download", stated), store_of(client)
        try:
            done = followed(client, job, begins=begins)
        except KeyboardInterrupt:
            goes_on = "; the server goes on with the download: `berth pull {}` shows how far it is"
            told = (goes_on if stays else ": `berth pull {}` goes on from here").format(repository)
            raise InterruptedByUserError(f"interrupted{told}") from None
        broken = _why_broken(client, done)
    if output is OutputFormat.JSON:
        print_json(done)
    if done["phase"] == FAILED:
        error = _ERRORS.get(done["reason"], FailedError)
        raise error(f"{repository} was not fetched: {done['message'] or done['reason']}", done["reason"])
    name = model_name(done["destination"])
    if broken:
        raise FailedError(f"{name} was fetched, and cannot be loaded: {broken}. `berth rm {name}` deletes it")
    if output is OutputFormat.TABLE:
        print(f"{name} ({size(done['bytes_total'])}): berth run {name}")
        if store:
            print_note(f"it is in {store}")


def _why_broken(client: "Client", job: dict[str, Any]) -> str | None:
    """Why no engine can load what was fetched. None: one can, or it is not known."""
    if job["phase"] == FAILED:
        return None
    try:
        models: list[dict[str, Any]] = client.get("/v1/models/inventory")["models"]
    except CommandError:
        return None
    return next((model["broken"] for model in models if model["path"] == job["destination"]), None)


def _stays(client: "Client") -> bool:
    """Whether the server, and with it a download, goes on when this command ends."""
    running = running_server()
    return running is None or running.url != client.url or running.lasts


def _tell_size(client: "Client", wanted: dict[str, Any]) -> bool:
    """Says what will be fetched, before it is. False: something speaks against it.

    Raises NotNowError if the hub cannot be asked, and UsageError if a variable of the server keeps it from that. What
    speaks against the download, the download says: some of its files may be there already.
    """
    try:
        told: dict[str, Any] = client.post("/v1/models/verify-repo", wanted)
    except (NotNowError, UsageError) as error:
        # A download waits for a hub that was asked too much, and in a cluster reaches what the router may not.
        if error.code == "hub_rate_limit" or store_of(client) is None:
            return True
        raise
    if told["files"] and told["downloadable"]:
        free = f", {size(told['free_bytes'])} free" if told["free_bytes"] is not None else ""
        print_note(f"{size(told['total_bytes'])} in {counted(len(told['files']), 'file')}{free}")
    return bool(told["downloadable"])


def parsed_repository(text: str) -> tuple[str, str | None]:
    """The repository, with its revision, and the quantization. Raises UsageError."""
    for host in _HOSTS:
        text = text.removeprefix(host)
    head, slash, name = text.rpartition("/")
    if not head or not name:
        raise UsageError(f"{text!r} names no repository: it must be like org/name or org/name:Q4_K_M")
    name, colon, quantization = name.partition(":")
    if colon and not quantization:
        raise UsageError(f"{text!r} names no quantization after the colon: such as :Q4_K_M, or leave the colon out")
    return f"{head}{slash}{name}", quantization or None
