"""berth ps: what runs."""

from datetime import datetime
from typing import Any

from berth_local.cli.connection import Target, connect
from berth_local.cli.options import ApiKeyOption, OutputFormat, OutputOption, UrlOption
from berth_local.cli.printing import (
    Column,
    duration,
    model_name,
    print_json,
    print_note,
    print_table,
    since,
    size,
    without_empty,
)
from berth_process.clock import utc_now

_COLUMNS = (
    Column("MODEL"),
    Column("ENGINE", rank=2),
    Column("DEVICE", rank=3),
    Column("PHASE"),
    Column("MEMORY", rank=4, right=True),
    Column("CONTEXT", rank=5, right=True),
    Column("REQUESTS", rank=6, right=True),
    Column("UP", rank=7),
    Column("GOES IN", rank=1),
    Column("DEPLOYMENT", rank=8),
)


def ps(output: OutputOption = OutputFormat.TABLE, url: UrlOption = None, api_key: ApiKeyOption = None) -> None:
    """Show the models that run, and until when."""
    with connect(Target(url, api_key)) as client:
        loaded = client.get("/v1/models/loaded")
    if output is OutputFormat.JSON:
        print_json(loaded)
    elif loaded["loaded_models"]:
        now = utc_now()
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
        str(model.get("context_size") or "-"),
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
