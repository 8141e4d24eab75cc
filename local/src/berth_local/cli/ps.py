"""berth ps: what runs."""

from datetime import UTC, datetime
from typing import Any

from berth_local.cli.options import ApiKey, Format, Output, Url
from berth_local.connection import Server, connect
from berth_local.output import Column, duration, model_name, print_json, print_note, print_table, since, size

_COLUMNS = (
    Column("MODEL"),
    Column("ENGINE", rank=2),
    Column("DEVICE", rank=3),
    Column("PHASE"),
    Column("MEMORY", rank=4, right=True),
    Column("REQUESTS", rank=5, right=True),
    Column("UP", rank=6),
    Column("GOES IN", rank=1),
    Column("DEPLOYMENT", rank=7),
)


def ps(output: Output = Format.TABLE, url: Url = None, api_key: ApiKey = None) -> None:
    """Show the models that run, and until when."""
    with connect(Server(url, api_key)) as client:
        loaded = client.get("/v1/models/loaded")
    if output is Format.JSON:
        print_json(loaded)
    elif loaded["loaded_models"]:
        now = datetime.now(UTC)
        print_table(*without_empty(_COLUMNS, [row(model, now) for model in loaded["loaded_models"]]))
    else:
        print_note("no model runs: `berth run MODEL` starts one")


def row(model: dict[str, Any], now: datetime) -> list[str]:
    """The cells of a loaded model."""
    up = since(model["loaded_at"], now)
    return [
        model_name(model["model_path"]),
        model["backend"],
        model["device"],
        model["phase"],
        size(model["memory_bytes"]) if model["memory_bytes"] else "-",
        str(model["in_flight"]),
        duration(up.total_seconds()) if up else "-",
        _goes_in(model, now),
        model["deployment"],
    ]


def _goes_in(model: dict[str, Any], now: datetime) -> str:
    if model["ttl"] == 0:
        return "never"
    until = since(model["expires_at"], now)
    if until is None:
        return "-"
    return duration(-until.total_seconds()) if model["in_flight"] == 0 else "in use"


def without_empty(columns: tuple[Column, ...], rows: list[list[str]]) -> tuple[list[Column], list[list[str]]]:
    """The table without columns that may be left out and that say nothing in any row."""
    kept = [index for index, column in enumerate(columns) if column.rank == 0 or any(row[index] != "-" for row in rows)]
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows]
