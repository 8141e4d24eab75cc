"""berth describe: the story of a start: what was asked for, how far it came and when, and what is in its way."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from berth_local.cli.commands.ps import loaded_models
from berth_local.cli.connection import Target, connect
from berth_local.cli.errors import CommandError
from berth_local.cli.model_lookup import with_model
from berth_local.cli.model_names import complete_model
from berth_local.cli.options import OutputFormat, api_key_option, output_option, url_option
from berth_local.cli.printing import (
    counted,
    duration,
    facts,
    model_name,
    print_json,
    since,
    size,
    terminal_width,
    with_names,
)
from berth_local.cli.room_words import Residents, room_words
from berth_local.cli.words import plan_words, reason_words
from berth_process.clock import utc_now

if TYPE_CHECKING:
    from berth_local.cli.client import Client

_STEPS = {
    "PodCreated": "there was room for it",
    "PodScheduled": "it had its place",
    "EngineStarted": "the engine's program ran",
    "EngineReady": "the model was ready",
}
"""The steps of a start, as somebody on one machine sees them."""

_PHASES = {
    "Pending": "waits",
    "Starting": "starts",
    "Ready": "ready",
    "Stalled": "cannot start",
    "Unresponsive": "does not answer",
    "Sleeping": "sleeps",
}
_SETTINGS = {
    "contextSize": "context",
    "maxModelLength": "context",
    "gpuLayers": "layers on the GPU",
    "gpuMemoryUtilization": "share of the GPU's memory",
    "quantization": "quantization",
}
"""The settings of engines that people ask for, and their words."""


@click.command()
@click.argument("model", metavar="MODEL", shell_complete=complete_model, help="Its name, or that of a deployment.")
@output_option
@url_option
@api_key_option
def describe(model: str, output: OutputFormat, url: str | None, api_key: str | None) -> None:
    """Tell how a model started, or why it does not."""
    with connect(Target(url, api_key)) as client:
        stories = with_model(client, model, lambda name: _stories(client, name))
        residents = client.residents()
    if output is OutputFormat.JSON:
        print_json({"starts": stories})
        return
    print("\n\n".join("\n".join(story_lines(story, residents, utc_now())) for story in stories))


def _stories(client: "Client", name: str) -> list[dict[str, Any]]:
    """What is known of each deployment of this name, or of the model's; or of the one that a request would start.

    Raises UnknownNameError.
    """
    would: dict[str, Any] = client.get("/v1/models/manifest", model=name)
    running = [
        one
        for one in loaded_models(client)["loaded_models"]
        if name == one["deployment"] or model_name(name).partition("@")[0] == model_name(one["model_path"])
    ]
    if not running:
        return [{"model_path": would["spec"]["model"], "asked": would, "plan": _plan(client, name)}]
    return [{**one, "asked": client.get("/v1/models/manifest", model=one["deployment"])} for one in running]


def _plan(client: "Client", name: str) -> str:
    try:
        return plan_words(client.post("/v1/models/plan", {"model": name}))
    except CommandError as error:
        return error.message


def story_lines(story: dict[str, Any], residents: Residents, now: datetime) -> list[str]:
    """The story, a line for each thing."""
    named = {"Model": model_name(story["model_path"])}
    asked = {"Asked for": _asked(story["asked"]["spec"])}
    if "plan" in story:
        return _lines(named | asked | {"Now": "does not run", "A start": story["plan"]})
    name: str = story["deployment"]
    known = {
        "Deployment": name,
        **asked,
        "Now": _now(story, now),
        "Reason": _reason(story["message"], residents) if story["message"] else None,
        "Memory": size(story["memory_bytes"]) if story["memory_bytes"] else None,
        "Context": f"{story['context_size']} tokens" if story["context_size"] else None,
        "Engine log": f"berth logs {name}",
    }
    steps = [f"  {step['seconds']:6.1f} s  {_STEPS.get(step['name'], step['name'])}" for step in story["start_steps"]]
    return [*_lines(named | known), *(["The start, from the request on", *steps] if steps else [])]


def _lines(told: dict[str, str | None]) -> list[str]:
    return facts([(name, value) for name, value in told.items() if value], terminal_width()).splitlines()


def _asked(spec: dict[str, Any]) -> str:
    """What a request has asked for, in one line."""
    block: dict[str, Any] = spec.get(spec["backend"]) or {}
    stated = [f"{words} {block[name]}" for name, words in _SETTINGS.items() if block.get(name)]
    ttl: int = spec["idle"]["ttlSeconds"]
    kept = f"kept {duration(ttl)} after the last request" if ttl else "kept for ever"
    return ", ".join([f"{spec['backend']} on {spec['device']}", *stated, kept])


def _now(story: dict[str, Any], now: datetime) -> str:
    up = since(story["loaded_at"], now)
    parts = [_PHASES.get(story["phase"], story["phase"]), f"for {duration(up.total_seconds())}" if up else ""]
    in_hand = counted(story["in_flight"], "request") + " in hand"
    until = since(story["expires_at"], now)
    goes = f"goes in {duration(-until.total_seconds())}" if until and not story["in_flight"] else ""
    return "; ".join(filter(None, (" ".join(filter(None, parts)), in_hand, goes)))


def _reason(message: str, residents: Residents) -> str:
    return room_words(message, residents) or with_names(reason_words(message))
