"""Finds the model that somebody means: whatever the case, by the beginning of its name, with Ollama's `:latest`."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

from berth_local.cli.address import model_path
from berth_local.cli.connection import store_of
from berth_local.cli.errors import CommandError, FailedError, UnknownNameError
from berth_local.cli.fetching import FAILED, BeingFetchedError, fetched_now, followed
from berth_local.cli.printing import model_name, print_note

if TYPE_CHECKING:
    from berth_local.cli.client import Client

T = TypeVar("T")

_LATEST = ":latest"
_MOST_SUGGESTED = 3


def meant(name: str, names: Sequence[str]) -> str | None:
    """The one of these names that is meant. None: none is, or several may be. A profile after @ stays as it is."""
    short, at, profile = model_name(name).partition("@")
    wanted = short.casefold().removesuffix(_LATEST)
    models = [each for each in names if "@" not in each]
    equal = [each for each in models if each.casefold() == wanted]
    begin = [each for each in models if each.casefold().startswith(wanted)]
    inside = [each for each in models if each.casefold().rpartition("/")[2].startswith(wanted)]
    found = equal or begin or inside
    return found[0] + at + profile if len(found) == 1 and wanted else None


def similar(name: str, names: Sequence[str]) -> list[str]:
    """Those of the names that may be meant: they begin so, or are spelled nearly so."""
    wanted = model_name(name).casefold().removesuffix(_LATEST)
    known = {each.casefold(): each for each in names}
    begin = [each for each in known if wanted and each.startswith(wanted)]
    near = get_close_matches(wanted, known, _MOST_SUGGESTED, 0.6)
    # Whoever writes the beginning of a name can mistype that too.
    beginnings = {each: each[: len(wanted) + 1] for each in known}
    mistyped = get_close_matches(wanted, beginnings.values(), _MOST_SUGGESTED, 0.7) if len(wanted) > 2 else []
    also = [each for each in known if beginnings[each] in mistyped]
    return [known[each] for each in dict.fromkeys([*begin, *near, *also])][:_MOST_SUGGESTED]


def with_model(client: "Client", name: str, action: Callable[[str], T]) -> T:
    """What the action does with the model of this name, or with the one that is meant if there is none.

    Raises CommandError: an UnknownNameError names those that may be meant, or the store that was looked into; a
    BeingFetchedError says how far the model is.
    """
    try:
        return action(name)
    except CommandError as error:
        if error.code not in ("model_not_found", "profile_not_found", "invalid_value", "model_not_loaded"):
            raise
        names = model_names(client)
        instead = meant(name, names)
        if instead is None or instead == model_name(name):
            if isinstance(error, UnknownNameError):
                raise explained(error, client, name, names) from None
            raise
        print_note(f"{name} is {instead}")
    return action(instead)


def with_model_there(client: "Client", name: str, action: Callable[[str], T]) -> T:
    """As `with_model`, but waits for a model that is being fetched, and shows how far it is.

    Raises FailedError if it cannot be fetched.
    """
    try:
        return with_model(client, name, action)
    except BeingFetchedError as error:
        model = model_name(error.job["destination"])
        print_note(f"{model} is being fetched: waiting for it")
        done = followed(client, error.job)
    if done["phase"] == FAILED:
        raise FailedError(f"{model} was not fetched: {done['message'] or done['reason']}", done["reason"])
    return with_model(client, model, action)


def model_names(client: "Client") -> list[str]:
    """The names of the server's models, with those of their profiles."""
    return [model_name(model["id"]) for model in client.get("/v1/models")["data"]]


def explained(error: UnknownNameError, client: "Client", name: str, names: Sequence[str]) -> CommandError:
    """The error with what may help: how far the model is fetched, those that may be meant, or the store.

    `names`: those of the server's models.
    """
    unknown = error.code == "model_not_found"
    if unknown and (job := _fetched(client, name)):
        return BeingFetchedError(job, one_machine=store_of(client) is not None)
    # A model that is there and does not run is not mistyped.
    if others := [] if model_name(name) in names else similar(name, names):
        # Who sees the name that was meant needs no list of all.
        message = f"{error.message.partition('. ')[0]}." if unknown else error.message
        return UnknownNameError(f"{message} Did you mean {' or '.join(others)}?", error.code)
    if unknown and (store := store_of(client)):
        return UnknownNameError(f"{error.message} The store is {store}.", error.code)
    return error


def _fetched(client: "Client", name: str) -> dict[str, Any] | None:
    """The download of the model that is meant. None: it is not being fetched."""
    jobs = {model_name(job["destination"]): job for job in fetched_now(client)}
    return jobs.get(meant(name, list(jobs)) or "")


def known_model(client: "Client", model: str) -> str:
    """The name, if the server knows the model. Raises UnknownNameError."""
    client.get(model_path(model_name(model)))
    return model
