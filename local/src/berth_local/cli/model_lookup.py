"""Finds the model that somebody means: whatever the case, by the beginning of its name, with Ollama's `:latest`."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from berth_local.cli.address import model_path
from berth_local.cli.errors import CommandError, UnknownNameError
from berth_local.cli.printing import model_name, print_note
from berth_local.serve.interface import running_server

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

    Raises CommandError: an UnknownNameError names those that may be meant, and the store that was looked into.
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
                # A model that is there and does not run is not mistyped.
                others = [] if model_name(name) in names else similar(name, names)
                raise _with_suggestion(error, client, others) from None
            raise
        print_note(f"{name} is {instead}")
    return action(instead)


def model_names(client: "Client") -> list[str]:
    """The names of the server's models, with those of their profiles."""
    return [model_name(model["id"]) for model in client.get("/v1/models")["data"]]


def _with_suggestion(error: UnknownNameError, client: "Client", names: Sequence[str]) -> UnknownNameError:
    message = error.message
    if names:
        message += f" Did you mean {' or '.join(names)}?"
    if error.code == "model_not_found" and (store := store_of(client)):
        message += f" The store is {store}."
    return UnknownNameError(message, error.code)


def store_of(client: "Client") -> Path | None:
    """The folder of models of the client's server. None: it is not this user's, on this machine."""
    running = running_server()
    return running.store if running and running.url == client.url else None


def known_model(client: "Client", model: str) -> str:
    """The name, if the server knows the model. Raises UnknownNameError."""
    client.get(model_path(model_name(model)))
    return model
