"""docs/clients.md, from what came of a run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from berth_api.model_deployment import Backend
from tests.e2e.clients.catalog import CLIENTS, FEATURES, LIBRARIES, PROGRAMS, ForeignClient
from tests.e2e.clients.engines import ENGINES
from tests.e2e.clients.expectations import why_not
from tests.e2e.clients.running import Outcomes

PAGE = Path(__file__).resolve().parents[3] / "docs/clients.md"
RECORD = Path(__file__).with_name("outcomes.json")

_ABOVE = """# Clients

Clients of other makers that are known to work: each of them is run against `berth up` with each engine on a CPU and a
small real model, as its maker ships it, and told nothing but the address and the model's name.
`uv run python -m tests.e2e.clients` runs them all and writes this page, and `scripts/test e2e` runs them too
(`tests/e2e/clients`): all with llama.cpp, and some with the other engines. The programs there show how each is set up.

| mark | meaning |
| --- | --- |
| ✓ | works |
| ✗ | fails; below the table is why |
| — | cannot be with this engine; the note below the table says why |
| - | the client has no such thing, or not by this API, or it is not run |

A *cold stream* is one whose model has to be started first; with vLLM and Transformers, which take longer to start, it
is run for one client of each API. *Tools*: the model calls one of its own choice, and where the client can ask for it,
one by force. *Errors*: a model that is not there, and a prompt beyond the context, come as the errors that the client
has for them. *Cancel*: when the client leaves, its request ends.
"""

_TITLES: Mapping[Backend, str] = {
    Backend.LLAMACPP: "llama.cpp",
    Backend.VLLM: "vLLM",
    Backend.TRANSFORMERS: "Transformers",
}
_NOTES: Mapping[Backend, str] = {
    Backend.LLAMACPP: "[Coding agents](how-to/coding-agents.md) are started by `berth launch`.",
    Backend.VLLM: (
        "The model is `SmolLM2-tools@vllm`: a profile ([API](reference/api.md#requests)) names the engine, as"
        " Transformers is the first one on a CPU."
    ),
    Backend.TRANSFORMERS: (
        "The model is `SmolLM2-tools@transformers`. Its `tokenizer_config.json` has a `response_template`: without one,"
        " Transformers reads calls of tools of the Qwen and Gemma 4 families alone."
    ),
}

OfEngines = Mapping[Backend, Mapping[str, Outcomes]]
"""What came of the clients, by engine and by the clients' names."""


def page(outcomes: OfEngines) -> str:
    """The page, with a part for each engine that something is known of."""
    return "\n".join([_ABOVE, *(tables(engine, outcomes[engine]) for engine in ENGINES if engine in outcomes)])


def tables(engine: Backend, outcomes: Mapping[str, Outcomes]) -> str:
    """What came of an engine's clients: those of them that are known."""
    libraries = [client for client in LIBRARIES if client.name in outcomes]
    programs = [client for client in PROGRAMS if client.name in outcomes]
    notes = _Notes(engine)
    parts = [
        f"## {_TITLES[engine]}\n",
        f"{_NOTES[engine]}\n",
        _table(("client", "version", *FEATURES), [_row(client, outcomes[client.name], notes) for client in libraries]),
        _table(
            ("program", "version", "what it does", "works"),
            [_program_row(client, outcomes[client.name], notes) for client in programs],
        ),
        notes.text(),
        _faults(engine, (*libraries, *programs), outcomes),
    ]
    return "\n".join(part for part in parts if part)


def recorded() -> OfEngines:
    """What came of the last run of each client."""
    kept: dict[str, dict[str, Outcomes]] = json.loads(RECORD.read_text())
    return {engine: kept[engine.value] for engine in ENGINES if engine.value in kept}


def record(engine: Backend, outcomes: Mapping[str, Outcomes]) -> None:
    """Keeps what came of a run, and writes the page anew."""
    known = dict(recorded())
    of_engine = {**known.get(engine, {}), **outcomes}
    known[engine] = {client.name: of_engine[client.name] for client in CLIENTS if client.name in of_engine}
    kept = {each.value: known[each] for each in ENGINES if each in known}
    RECORD.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(known))


class _Notes:
    """The notes of one engine's tables, numbered as they come."""

    def __init__(self, engine: Backend) -> None:
        self._engine = engine
        self._whys: list[str] = []

    def mark(self, client: ForeignClient, outcomes: Outcomes, feature: str) -> str:
        """What a cell has."""
        why = why_not(self._engine, client, feature) if feature in client.features else None
        if feature in outcomes and outcomes[feature] is None:
            return "✓"
        if why is None:
            return "✗" if feature in outcomes else "-"
        if why not in self._whys:
            self._whys.append(why)
        return f"— ({self._whys.index(why) + 1})"

    def text(self) -> str:
        """The notes as a list."""
        return "".join(f"{number}. {why}\n" for number, why in enumerate(self._whys, 1))


def _row(client: ForeignClient, outcomes: Outcomes, notes: _Notes) -> Sequence[str]:
    return (client.name, client.version, *(notes.mark(client, outcomes, feature) for feature in FEATURES))


def _program_row(client: ForeignClient, outcomes: Outcomes, notes: _Notes) -> Sequence[str]:
    [feature] = client.features
    return (client.name, client.version, feature, notes.mark(client, outcomes, feature))


def _faults(engine: Backend, clients: Iterable[ForeignClient], outcomes: Mapping[str, Outcomes]) -> str:
    """Why cells fail: the client's own fault, or what it said."""
    lines = [
        f"- {client.name}, {feature}: {client.faults.get(feature) or _short(error)}"
        for client in clients
        for feature, error in outcomes[client.name].items()
        if error and why_not(engine, client, feature) is None
    ]
    return "".join(f"{line}\n" for line in lines)


def _short(error: str) -> str:
    text = " ".join(error.split()).replace("`", "'")
    return f"`{text[:300]}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
