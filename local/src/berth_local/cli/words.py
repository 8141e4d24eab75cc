"""What the server says of a start, in words for people who know nothing of deployments: pure."""

import re

from berth_local.cli.printing import model_name

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
_LOG = re.compile(r"; its last lines:\s*(?P<lines>.*)$", re.DOTALL)


def waiting_words(reason: str) -> str:
    """What a command waits for. `reason`: a comment of the server's stream."""
    found = _WAITING.match(reason)
    if not found:
        return reason
    model, rest = model_name(found["model"]), _PHASE.sub("", found["rest"] or "")
    return f"loading {model}" if rest in _AS_ALWAYS else f"{model}: {rest}"


def failure_words(message: str) -> str:
    """Why a model cannot start: the sentence first, then the code, and the last line of the engine's log."""
    found = _CANNOT_START.match(message)
    if not found:
        return message
    model, why = model_name(found["model"]), found["message"]
    log = _LOG.search(why)
    if not log:
        return f"{model} cannot start: {why} ({found['code']})"
    lines = [line.strip() for line in log["lines"].splitlines() if line.strip()]
    last = f"; its last line: {lines[-1]}" if lines else ""
    return f"{model} cannot start: {why[: log.start()]} ({found['code']}){last}"
