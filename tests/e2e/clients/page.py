"""docs/clients.md, from what came of a run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.e2e.clients.catalog import CLIENTS, FEATURES, LIBRARIES, PROGRAMS, ForeignClient
from tests.e2e.clients.running import Outcomes

PAGE = Path(__file__).resolve().parents[3] / "docs/clients.md"
RECORD = Path(__file__).with_name("outcomes.json")

_ABOVE = """# Clients

Clients of other makers that are known to work: each of them is run against `berth up` with llama.cpp and a small real
model, as its maker ships it, and told nothing but the address and the model's name.
`uv run python -m tests.e2e.clients` runs them all and writes this page, and `scripts/test e2e` runs them too
(`tests/e2e/clients`). The programs there show how each is set up.

| mark | meaning |
| --- | --- |
| ✓ | works |
| ✗ | fails; below the table is why |
| - | the client has no such thing, or not by this API |

A *cold stream* is one whose model has to be started first. *Errors*: a model that is not there, and a prompt beyond the
context, come as the errors that the client has for them. *Cancel*: when the client leaves, its request ends.
"""


def page(outcomes: Mapping[str, Outcomes]) -> str:
    """The page; `outcomes` by the clients' names."""
    parts = [
        _ABOVE,
        "## Libraries\n",
        _table(("client", "version", *FEATURES), (_row(client, outcomes[client.name]) for client in LIBRARIES)),
        _faults(LIBRARIES, outcomes),
        "## Programs\n",
        "[Coding agents](how-to/coding-agents.md) are started by `berth launch`.\n",
        _table(
            ("program", "version", "what it does", "works"),
            (_program_row(client, outcomes[client.name]) for client in PROGRAMS),
        ),
        _faults(PROGRAMS, outcomes),
    ]
    return "\n".join(part for part in parts if part)


def recorded() -> dict[str, Outcomes]:
    """What came of the last run of each client."""
    return json.loads(RECORD.read_text())


def record(outcomes: Mapping[str, Outcomes]) -> None:
    """Keeps what came of a run, and writes the page anew once there is something of every client."""
    known: dict[str, Outcomes] = recorded() if RECORD.is_file() else {}
    known |= outcomes
    kept = {client.name: known[client.name] for client in CLIENTS if client.name in known}
    RECORD.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    if len(kept) == len(CLIENTS):
        PAGE.write_text(page(kept))


def _row(client: ForeignClient, outcomes: Outcomes) -> Sequence[str]:
    return (client.name, client.version, *(_mark(outcomes, feature) for feature in FEATURES))


def _program_row(client: ForeignClient, outcomes: Outcomes) -> Sequence[str]:
    [feature] = client.features
    return (client.name, client.version, feature, _mark(outcomes, feature))


def _mark(outcomes: Outcomes, feature: str) -> str:
    if feature not in outcomes:
        return "-"
    return "✗" if outcomes[feature] else "✓"


def _faults(clients: Iterable[ForeignClient], outcomes: Mapping[str, Outcomes]) -> str:
    """Why cells fail: the client's own fault, or what it said."""
    lines = [
        f"- {client.name}, {feature}: {client.faults.get(feature) or _short(error)}"
        for client in clients
        for feature, error in outcomes[client.name].items()
        if error
    ]
    return "".join(f"{line}\n" for line in lines)


def _short(error: str) -> str:
    text = " ".join(error.split()).replace("`", "'")
    return f"`{text[:300]}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
