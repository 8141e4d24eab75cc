"""berth launch: start a coding agent on a model."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from berth_local.cli.agent_models import Offer, suitable, windows_to_try
from berth_local.cli.agents import AGENTS, KEY_VARIABLE, Agent, Seat, environment_for, shell_script
from berth_local.cli.connection import Target, connect, connect_or_serve
from berth_local.cli.errors import CommandError, UnknownNameError, UsageError
from berth_local.cli.model_lookup import with_model_there
from berth_local.cli.model_names import complete_model
from berth_local.cli.options import api_key_option, models_option, url_option
from berth_local.cli.printing import count, model_name, print_note

if TYPE_CHECKING:
    from berth_local.cli.client import Client

_TTL_SECONDS = 4 * 3600
"""A model that went after five minutes would come back, for an agent that cannot state it, with the default window."""

_GOOD_MODEL = "Qwen/Qwen3-8B-GGUF:Q4_K_M"
"""One with tools, made for 40,960 tokens of context: more than any agent of the table needs."""

_NO_ROOM = ("memory_insufficient", "never_fits", "out_of_memory")
_NO_SUCH_SETTING = ("invalid_value", "engine_not_available")
"""The codes of the refusal of `n_ctx` where the engine that takes the model's files has no such setting."""


def _complete_agent(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in AGENTS if name.startswith(incomplete)]


@click.command()
@click.argument("agent", metavar="AGENT", shell_complete=_complete_agent, help=f"One of {', '.join(AGENTS)}.")
@click.argument("arguments", nargs=-1, metavar="[-- ARGUMENTS]...", help="Arguments of the agent's own, after --.")
@click.option(
    "--model",
    "-m",
    metavar="MODEL",
    shell_complete=complete_model,
    help="Its name; the only one with tools, or the one that you choose, if left out.",
)
@click.option(
    "--n-ctx",
    type=click.IntRange(min=256),
    metavar="N",
    help="Tokens of context (llama.cpp); if left out, up to 65536, as far as model and memory go.",
)
@click.option(
    "--ttl",
    type=click.IntRange(min=0),
    default=_TTL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Keep the model for so long after its last request; 0: for ever.",
)
@click.option(
    "--print", "only_print", is_flag=True, help="Print what would be set and run, for a shell; start nothing."
)
@models_option
@url_option
@api_key_option
def launch(
    agent: str,
    arguments: tuple[str, ...],
    model: str | None,
    n_ctx: int | None,
    ttl: int,
    only_print: bool,
    models: Path | None,
    url: str | None,
    api_key: str | None,
) -> int:
    """Start a coding agent on a model of this machine or of a cluster.

    It is told of the model by variables and arguments alone: no file of yours is changed.
    """
    chosen, target, extra = _agent(agent), Target(url, api_key, models), arguments
    if only_print:
        with connect(target) as client:
            offer, name = _model(client, model, chosen, stated=n_ctx)
            window = _stated(n_ctx, offer, chosen) or windows_to_try(offer, chosen.needs)[0]
            print(shell_script(chosen, Seat(client.url, name, window, window), ttl, extra, has_key=bool(api_key)))
        if api_key and KEY_VARIABLE not in os.environ:
            print_note(f"export {KEY_VARIABLE} first: the key itself is not printed")
        return 0

    from berth_local.cli.agent_process import find_program, run_in_terminal  # noqa: PLC0415 (only where it is wanted)

    program = find_program(chosen.program)
    if program is None:
        raise UnknownNameError(f"{chosen.title} is not installed: `{chosen.install}` installs it")
    with connect_or_serve(target) as client:
        offer, name = _model(client, model, chosen, stated=n_ctx)
        window = _stated(n_ctx, offer, chosen)
        seat = _loaded(client, name, [window] if window else windows_to_try(offer, chosen.needs), ttl, stated=window)
        print_note(f"{chosen.title} on {seat.model}, {seat.window} tokens of context, at {client.url}")
        environment = environment_for(chosen, seat, api_key, os.environ)
        return run_in_terminal([program, *chosen.arguments(seat), *extra], environment)


def _agent(name: str) -> Agent:
    if name not in AGENTS:
        raise UsageError(f"AGENT is {name!r}: it must be one of {', '.join(AGENTS)}")
    return AGENTS[name]


def _stated(n_ctx: int | None, offer: Offer | None, agent: Agent) -> int | None:
    """The window that the user states, as far as the model was made for it. None: none is stated."""
    if n_ctx is None:
        return None
    window = min(n_ctx, (offer and offer.made_for) or n_ctx)
    if window < n_ctx:
        print_note(f"{window} tokens of context, which is what the model was made for")
    if window < agent.needs:
        print_note(f"{agent.title} needs {agent.needs} tokens of context: with {window} its own prompt may not fit")
    return window


def _offers(client: "Client") -> Sequence[Offer]:
    return [Offer.of(entry) for entry in client.get("/v1/models")["data"]]


def _offer(client: "Client", name: str) -> Offer | None:
    """What is known of one name, which may be an alias that no list has, as it is a pattern. None: nothing."""
    try:
        return Offer.of(client.get(f"/v1/models/{quote(model_name(name), safe='/@')}"))
    except UnknownNameError:
        return None


def _named(client: "Client", name: str) -> tuple[Offer | None, str]:
    """What is known of the model of this name. Raises UnknownNameError where a request may not have the name."""
    offer = _offer(client, name)
    if offer is None:
        client.post("/v1/models/plan", {"model": name})
    return offer, name


def _model(client: "Client", named: str | None, agent: Agent, stated: int | None) -> tuple[Offer | None, str]:
    """The model that is named, or that the user chooses, and what is known of it. Raises UsageError."""
    needs = min(agent.needs, stated or agent.needs)
    if named is not None:
        offer, named = with_model_there(client, named, lambda name: _named(client, name))
        if offer and (why_not := offer.why_not(needs, agent.tools)):
            raise UsageError(f"{named} will not do for {agent.title}: {why_not}")
        return offer, named
    offers = _offers(client)
    fit = suitable(offers, needs, agent.tools)
    if not fit:
        reasons = "; ".join(
            f"{offer.name}: {offer.why_not(needs, agent.tools)}" for offer in offers if "@" not in offer.name
        )
        raise UnknownNameError(
            f"no model here will do for {agent.title}: `berth pull {_GOOD_MODEL}` fetches one that does (5 GB)"
            + (f". {reasons}" if reasons else "")
        )
    offer = fit[0] if len(fit) == 1 else _asked(fit)
    return offer, offer.name


def _asked(offers: Sequence[Offer]) -> Offer:
    """The model that the user chooses."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"--model must say which: {', '.join(offer.name for offer in offers)}")
    for number, offer in enumerate(offers, 1):
        details = [f"{count(offer.parameters)} parameters"] if offer.parameters else []
        details += ["loaded"] if offer.loaded else []
        print(f"{number:3}  {offer.name}" + (f"  ({', '.join(details)})" if details else ""), file=sys.stderr)
    while True:
        print("Which model? [1] ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:  # Ctrl-D
            raise UsageError("no model was chosen: --model names one")
        typed = line.strip() or "1"
        if typed.isdecimal() and 0 < int(typed) <= len(offers):
            return offers[int(typed) - 1]


def _loaded(client: "Client", name: str, windows: Sequence[int], ttl: int, stated: int | None) -> Seat:
    """Loads the model with the largest of the windows that there is memory for. Raises CommandError."""
    for window in windows:
        try:
            _load(client, name, ttl, window)
        except CommandError as error:
            if error.code in _NO_ROOM and window != windows[-1]:
                print_note(f"no room for {window} tokens of context: {error.message}")
                continue
            if stated is None and error.code in _NO_SUCH_SETTING:
                break
            raise
        return Seat(client.url, name, _window(client, name) or window, window)
    _load(client, name, ttl, None)
    return Seat(client.url, name, _window(client, name) or windows[0], None)


def _load(client: "Client", name: str, ttl: int, n_ctx: int | None) -> None:
    """By a request for one token, which a key with the scope `inference` may make."""
    from berth_local.cli.chat.answering import Asking  # noqa: PLC0415 (HTTP costs a third of a second, which --help need not wait for)

    settings = {"model": name, "ttl": ttl, "max_tokens": 1} | ({"n_ctx": n_ctx} if n_ctx else {})
    Asking(client, settings, show=False).once([{"role": "user", "content": "Hi"}])


def _window(client: "Client", name: str) -> int | None:
    """The window of what runs."""
    offer = _offer(client, name)
    return offer.window if offer else None
