"""Why a model waits for memory, in words for people who know nothing of deployments: pure.

The router passes on what the operator says of a deployment that waits for room. On one machine that comes down to one
question: which model has the memory, and what does it do with it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from berth_local.cli.printing import counted, size

_PLACE = re.compile(r"^place (?P<place>\d+) in the queue(?:, with room expected at [^:]*:\d\d:\d\d UTC)?: (?P<why>.*)$")
_QUEUED = re.compile(r": place \d+ in the queue")
_HELD = re.compile(r"^it needs [^;]*; on this machine(?: this comes free)?: (?P<holders>.*)$")
_KEPT = re.compile(r"^it needs .*, which others keep: (?P<holders>.*)$")
_HOLDER = re.compile(r"(?P<name>\S+) \((?P<held>[\d.]+ \w?B) of memory, (?P<state>[^)]*)\)")
_GIVES = re.compile(r"^(?P<names>\S+(?:, \S+)*) gives? back what it needs$")
_TURN = re.compile(r"^it has its turn when (?P<names>\S+(?:, \S+)*) ha(?:s|ve) answered what is in hand$")
_BEHIND = re.compile(r"^it needs .*, and (?P<count>\d+) waits? for the same before it$")
_HASH = re.compile(r"-[0-9a-f]{10}(?:-[0-9a-f]+-\d+)?$")
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

_DOES = {"busy": "answering", "starting": "starting", "ending": "leaving", "pinned": "kept", "idle": "idle"}
_LEAVING = "ending"
_CLOSED = "answering"
"""What a model does that answers what it has in hand, and takes no more."""


@dataclass(frozen=True, slots=True)
class Residents:
    """What is known of the models that have the memory."""

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Deployment → model."""
    budget_bytes: int | None = None
    """What all models together may take. None: it is not one machine, or not known."""

    def and_then(self, later: "Residents") -> "Residents":
        """What is known when this is known too: a model that has gone keeps its name."""
        return Residents({**self.names, **later.names}, later.budget_bytes or self.budget_bytes)

    def model(self, name: str) -> str:
        """The model of a deployment, or of its pod; as well as its name says it where nobody knows the deployment."""
        known = next((self.names[one] for one in self.names if name == one or name.startswith(f"{one}-")), None)
        return known or _HASH.sub("", name)


def waits_for_room(reason: str) -> bool:
    """Whether a comment of the server's stream says that the model waits for room."""
    return _QUEUED.search(reason) is not None


def room_words(why: str, residents: Residents) -> str | None:
    """Such as `waiting for memory: Third is answering (388 of 500 MB)`. None: that has to be said in other words."""
    queued = _PLACE.match(why)
    if not queued:
        return None
    why, ahead = queued["why"], int(queued["place"]) - 1
    before = f", and {counted(ahead, 'model')} before it" if ahead else ""
    if found := _HELD.match(why) or _KEPT.match(why):
        holders = list(_HOLDER.finditer(found["holders"]))
        if not holders:
            return None
        # What one holds that leaves is of no more interest than that it leaves.
        amount = "" if all(one["state"] == _LEAVING for one in holders) else f" ({_amount(holders, residents)})"
        return f"waiting for memory: {_named(holders, residents)}{amount}{before}"
    if found := _GIVES.match(why):
        return f"waiting for memory: {_listed(_models(found['names'], residents))} leaving{before}"
    if found := _TURN.match(why):
        models = _listed(_models(found["names"], residents))
        return f"waiting for memory: {models} answering what was asked before{before}"
    if found := _BEHIND.match(why):
        return f"waiting for memory: {counted(int(found['count']), 'model')} before it"
    return None


def _named(holders: list[re.Match[str]], residents: Residents) -> str:
    """Those who do the same together: `A and B are answering, C is starting`."""
    doing: dict[str, list[str]] = {}
    for holder in holders:
        doing.setdefault(_DOES.get(holder["state"], _CLOSED), []).append(residents.model(holder["name"]))
    return ", ".join(f"{_listed(models)} {what}" for what, models in doing.items())


def _models(names: str, residents: Residents) -> list[str]:
    return [residents.model(name) for name in names.split(", ")]


def _listed(models: list[str]) -> str:
    models = list(dict.fromkeys(models))
    return f"{models[0]} is" if len(models) == 1 else f"{', '.join(models[:-1])} and {models[-1]} are"


def _amount(holders: list[re.Match[str]], residents: Residents) -> str:
    """`388 of 500 MB`, or `388 MB` where the whole is not known."""
    held = 0.0
    for holder in holders:
        number, _, unit = holder["held"].partition(" ")
        held += float(number) * _UNITS.get(unit, 1)
    amount = size(held)
    if residents.budget_bytes is None:
        return amount
    whole = size(residents.budget_bytes)
    number, _, unit = amount.partition(" ")
    return f"{number} of {whole}" if whole.endswith(f" {unit}") else f"{amount} of {whole}"
