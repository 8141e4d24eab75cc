"""What the server says of a start, in words for people who know nothing of deployments: pure."""

import re
from collections.abc import Mapping
from typing import Any

from berth_local.cli.printing import model_name, size, with_names
from berth_local.cli.room_words import Residents, room_words

_WAITING = re.compile(r"^waiting for (?P<model>\S+?)(?:: (?P<rest>.*))?$", re.DOTALL)
_PHASE = re.compile(r"^(?:Pending|Starting|Stalled|Unresponsive|Sleeping)(?:: |$)")
_AS_ALWAYS = (
    "",
    "the engine waits for a place to run",
    "the engine is being started",
    "the engine loads the model",
)
"""The steps of every start. Whoever waits need not know them apart."""

_CANNOT_START = re.compile(r"^(?P<model>\S+) cannot start: (?P<code>[A-Z]\w+): (?P<message>.*)$", re.DOTALL)
_NEVER_FITS = re.compile(
    r"^\S+ needs at least (?P<need>.+), and the nearest node, this machine, has (?P<has>.+?)"
    r"(?:; a smaller quantization or contextSize needs less)?$"
)
_LOG = re.compile(r"; its last lines:\s*(?P<lines>.*)$", re.DOTALL)


def waiting_words(reason: str, model_bytes: int | None = None, residents: Residents | None = None) -> str:
    """What a command waits for. `reason`: a comment of the server's stream. `model_bytes`: those of the weights.

    `residents`: what is known of the models that have the memory.
    """
    found = _WAITING.match(reason)
    if not found:
        return reason
    model, rest = model_name(found["model"]), _PHASE.sub("", found["rest"] or "")
    if rest not in _AS_ALWAYS:
        return room_words(rest, residents or Residents()) or f"{model}: {with_names(rest)}"
    return f"loading {model} ({size(model_bytes)})" if model_bytes else f"loading {model}"


def failure_words(message: str) -> str:
    """Why a model cannot start: the sentence first, then the code, and the last line of the engine's log."""
    found = _CANNOT_START.match(message)
    if not found:
        return message
    return f"{model_name(found['model'])} cannot start: {reason_words(found['message'], found['code'])}"


def plan_words(plan: Mapping[str, Any]) -> str:
    """What /v1/models/plan says would happen, of the model where the server speaks of a deployment."""
    message = with_names(_fitting_words(plan["message"]))
    deployment: str | None = plan.get("deployment")
    return message.replace(deployment, model_name(plan["model"])) if deployment else message


def reason_words(why: str, code: str = "") -> str:
    """The sentence, the code if there is one, and of the engine's log the last line."""
    why = _fitting_words(why)
    log = _LOG.search(why)
    sentence = f"{why[: log.start()] if log else why}{f' ({code})' if code else ''}"
    lines = [line.strip() for line in log["lines"].splitlines() if line.strip()] if log else []
    return f"{sentence}; its last line: {lines[-1]}" if lines else sentence


def _fitting_words(why: str) -> str:
    """Of a model that one machine can never hold: what it needs and what there is. All else as it is."""
    found = _NEVER_FITS.match(why)
    if not found:
        return why
    cure = "a smaller quantization or --n-ctx needs less"
    return f"it needs at least {found['need']}, and this machine has {found['has']} for models: {cure}"
