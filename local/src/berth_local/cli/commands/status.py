"""berth status: the server in a few lines."""

from typing import TYPE_CHECKING, Any

import click

from berth_local.cli.connection import Target, connect
from berth_local.cli.errors import UnknownNameError
from berth_local.cli.gpu_words import gpu_lines
from berth_local.cli.options import OutputFormat, api_key_option, output_option, url_option
from berth_local.cli.printing import counted, print_facts, print_json, size

if TYPE_CHECKING:
    from berth_local.cli.client import Client

_GB = 1e9


def _machine(client: "Client") -> dict[str, Any] | None:
    """The machine that serves. None: it is a cluster."""
    try:
        return client.get("/v1/models/stats/machine")
    except UnknownNameError:
        return None


def machine_lines(machine: dict[str, Any], used: int) -> dict[str, str]:
    """The machine's memory and engines, by the names of their lines. `used`: bytes that models take."""
    budgets = {each["device"]: each["budget_bytes"] for each in machine["memory"]}
    engines = [each for each in machine["engines"] if each["installed"]]
    told = [f"{each['name']} ({each['where']}; {', '.join(each['devices'])})" for each in engines]
    gpus = {"GPU": "; ".join(gpu_lines(machine))} if machine["gpus"] else {}
    return {
        "Memory": f"{size(used)} of {size(budgets.get('cpu'))} for models",
        **gpus,
        "Engines": ", ".join(told) or "none is installed",
    }


@click.command()
@output_option
@url_option
@api_key_option
def status(output: OutputFormat, url: str | None, api_key: str | None) -> None:
    """Show the server in a few lines."""
    with connect(Target(url, api_key)) as client:
        stats, loaded, inventory = (client.get(f"/v1/models/{name}") for name in ("stats", "loaded", "inventory"))
        address, machine = client.url, _machine(client)
    used = sum(model["memory_bytes"] or 0 for model in loaded["loaded_models"] if model["device"] != "cuda")
    summary: dict[str, Any] = {
        "url": address,
        "models_in_store": inventory["total_models"],
        "store_bytes": round(inventory["total_size_gb"] * _GB),
        "models_running": loaded["total_count"],
        "requests_in_flight": sum(model["in_flight"] for model in loaded["loaded_models"]),
        "requests": stats["total_requests"],
        "found_running": stats["cache_hits"],
        "memory_bytes": used,
        "machine": machine,
    }
    if output is OutputFormat.JSON:
        print_json(summary)
        return
    share = f", {stats['hit_rate']:.0%} found their model running" if summary["requests"] else ""
    running, under_way = counted(summary["models_running"], "model"), counted(summary["requests_in_flight"], "request")
    stored = summary["store_bytes"]
    lines = {
        "Server": f"{address}/v1",
        "Store": ", ".join(
            [*([machine["store"]] if machine else []), counted(summary["models_in_store"], "model"), size(stored)]
        ),
        "Running": f"{running}, {under_way} under way",
        "Requests": f"{summary['requests']}{share}",
    }
    if machine:
        lines |= machine_lines(machine, used)
    print_facts(lines)
