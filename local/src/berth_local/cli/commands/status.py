"""berth status: the server in a few lines."""

from typing import Any

from berth_local.cli.connection import Target, connect
from berth_local.cli.options import ApiKeyOption, OutputFormat, OutputOption, UrlOption
from berth_local.cli.printing import counted, print_json, size

_GB = 1e9


def status(output: OutputOption = OutputFormat.TABLE, url: UrlOption = None, api_key: ApiKeyOption = None) -> None:
    """Show the server in a few lines."""
    with connect(Target(url, api_key)) as client:
        stats, loaded, inventory = (client.get(f"/v1/models/{name}") for name in ("stats", "loaded", "inventory"))
        address = client.url
    summary: dict[str, Any] = {
        "url": address,
        "models_in_store": inventory["total_models"],
        "store_bytes": round(inventory["total_size_gb"] * _GB),
        "models_running": loaded["total_count"],
        "requests_in_flight": sum(model["in_flight"] for model in loaded["loaded_models"]),
        "requests": stats["total_requests"],
        "found_running": stats["cache_hits"],
    }
    if output is OutputFormat.JSON:
        print_json(summary)
        return
    share = f", {stats['hit_rate']:.0%} found their model running" if summary["requests"] else ""
    running, under_way = counted(summary["models_running"], "model"), counted(summary["requests_in_flight"], "request")
    lines = {
        "Server": f"{address}/v1",
        "Store": f"{counted(summary['models_in_store'], 'model')}, {size(summary['store_bytes'])}",
        "Running": f"{running}, {under_way} under way",
        "Requests": f"{summary['requests']}{share}",
    }
    for name, value in lines.items():
        print(f"{name:<9} {value}")
