"""What people read of this machine's GPUs: pure."""

from typing import Any

from berth_local.cli.printing import size

GPU_SERVER = (
    "`pixi global install llama-cpp` or `conda install -c conda-forge llama-cpp` "
    "brings a llama-server with CUDA or Vulkan: put it on PATH"
)
"""What llama.cpp itself names for Linux. PyPI has no build of it with CUDA or Vulkan from a known maker."""


def gpu_lines(machine: dict[str, Any]) -> list[str]:
    """Each GPU of a machine, as the API describes it: its name, its memory, and who told of it."""
    return [
        f"{gpu['name'] or 'a GPU'}, {size(gpu['budget_bytes'])} of {size(gpu['total_bytes'])} free for models; "
        f"{machine['gpus_found_by']} tells"
        for gpu in machine["gpus"]
    ]


def gpu_note(machine: dict[str, Any]) -> str | None:
    """What models will use of the GPUs that there are, for whoever starts a server. None: there is no GPU."""
    if not machine["gpus"]:
        return None
    found = " and ".join(gpu["name"] or "a GPU" for gpu in machine["gpus"])
    engines = [engine["name"] for engine in machine["engines"] if "cuda" in engine["devices"]]
    said = f"GPU: {found}. Models compute on the processor unless `--device cuda` is asked for"
    if not engines:
        return f"{said}, which no engine here can do; {GPU_SERVER}"
    said = f"{said}: {', '.join(engines)} can"
    return said if "llamacpp" in engines else f"{said}, llamacpp cannot; {GPU_SERVER}"
