"""berth ps: what runs."""

import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from berth_local.cli.connection import Target, connect
from berth_local.cli.options import OutputFormat, api_key_option, output_option, url_option
from berth_local.cli.printing import (
    Column,
    duration,
    model_name,
    moves,
    print_json,
    print_note,
    print_table,
    since,
    size,
    terminal_width,
    with_names,
    without_empty,
)
from berth_local.cli.words import reason_words
from berth_process.clock import utc_now

if TYPE_CHECKING:
    from berth_local.cli.client import Client

_LOOK_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[J"
"""Has a terminal forget what it shows."""

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


@click.command()
@click.option("--watch", "-w", is_flag=True, help="Show it anew whenever it changes, until Ctrl-C.")
@output_option
@url_option
@api_key_option
def ps(watch: bool, output: OutputFormat, url: str | None, api_key: str | None) -> None:
    """Show the models that run, and until when, and those that could not start."""
    with connect(Target(url, api_key)) as client:
        loaded, width = loaded_models(client), terminal_width()
        if output is OutputFormat.JSON:
            print_json(loaded)
        else:
            _print(loaded)
        while watch:
            time.sleep(_LOOK_SECONDS)
            before, loaded = loaded, loaded_models(client)
            before_width, width = width, terminal_width()
            if output is OutputFormat.JSON and loaded != before:
                print_json(loaded)
            elif output is OutputFormat.TABLE and (_cells(loaded), width) != (_cells(before), before_width):
                # Flushed, because the remarks below go to stderr, and would be cleared with what was there before.
                print(_CLEAR if moves(sys.stdout) else "\n", end="", flush=True)
                _print(loaded)


def loaded_models(client: "Client") -> dict[str, Any]:
    """The models that run, start, wait for room or could not start, as the API lists them."""
    return client.get("/v1/models/loaded", failed="true")


def print_models(models: Sequence[dict[str, Any]]) -> None:
    """Prints a table of loaded models."""
    now = utc_now()
    print_table(*without_empty(_COLUMNS, [row(model, now) for model in models]))


def _print(loaded: dict[str, Any]) -> None:
    if not loaded["loaded_models"]:
        print_note("no model runs: `berth run MODEL` starts one")
        return
    print_models(loaded["loaded_models"])
    for model in loaded["loaded_models"]:
        if model["phase"] == "Stalled" and model.get("message"):
            why = with_names(" ".join(reason_words(model["message"]).split()))
            print_note(f"{model_name(model['model_path'])} does not start: {why}")


def _cells(loaded: dict[str, Any]) -> list[list[str]]:
    """What a reader would notice: the times that pass by themselves are looked at once a minute."""
    now = utc_now().replace(second=0, microsecond=0)
    return [row(model, now) for model in loaded["loaded_models"]]


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
