"""What a container's manifest means on this machine: its arguments, its environment, its termination message."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from berth_api.model_deployment import MODEL_STORE, Backend
from berth_local.node.admission import LOOPBACK

_PATH_OPTIONS = frozenset({"--model", "--store"})
"""The options of `berth-launch` and `berth-download` whose value is a path in the container."""

_KNOWS_PATHS_ONLY = Backend.TRANSFORMERS.value
"""The engine whose model can have no other name than its path. The router knows that path by BERTH_ENGINE_STORE."""

_PRIVATE = frozenset(
    {
        *("BERTH_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY"),
        # Keys of engines that the user runs by hand: an engine would ask for them, and the router knows another.
        *("LLAMA_API_KEY", "VLLM_API_KEY"),
    }
)
"""Secrets of this process's environment. Engines run others' code and weights: a container gets one only if it asks."""

_CONTAINERS_OWN = frozenset({"HOME"})
"""Variables that name a path in the container."""

_NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "GGML_VK_VISIBLE_DEVICES": ""}
"""Hides every GPU from a process: NVIDIA's, AMD's under ROCm, and those that llama.cpp finds by Vulkan.

Without it llama.cpp takes 0.5 to 0.8 GB of a GPU on which it is to put nothing, and reads prompts there.
"""

LLAMA_DEVICE = "LLAMA_ARG_DEVICE"
"""llama.cpp's variable with the names of the GPUs that it is to use, such as Vulkan1."""

_MESSAGE_BYTES = 4096
_FALLBACK_BYTES = 2048
_FALLBACK_LINES = 80
"""What a kubelet keeps of a container's message, and of its output where the container wrote no message."""

_VMSTAT = Path("/proc/vmstat")


def arguments_here(container: Mapping[str, Any], store: Path) -> list[str]:
    """The container's arguments with this machine's paths. A server listens on loopback: Berth's port is the way in."""
    arguments: list[str] = list(container.get("args", []))
    gpu = next((each.get("value") for each in container.get("env", []) if each["name"] == LLAMA_DEVICE), None)
    if gpu and "--" not in arguments:
        arguments.append("--")
    own = arguments.index("--") if "--" in arguments else len(arguments)
    if gpu:  # over the launcher's own choice, which is the first one, and under the user's
        arguments[own + 1 : own + 1] = ["--device", gpu]
    paths = _PATH_OPTIONS | {"--alias"} if arguments[:1] == [_KNOWS_PATHS_ONLY] else _PATH_OPTIONS
    for at in range(1, own):
        if arguments[at - 1] in paths:
            arguments[at] = _path_here(arguments[at], store)
    if container.get("ports"):
        arguments[own:own] = ["--host", LOOPBACK]
    return arguments


def environment_here(
    container: Mapping[str, Any], termination_log: Path, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment of the container's process: this process's without its secrets, and the container's own.

    As in Kubernetes, a container that asks for no GPU sees none.
    """
    found = {name: value for name, value in environment.items() if name not in _PRIVATE}
    if not _asks_for_devices(container):
        found.update(_NO_GPU)
        found.pop(LLAMA_DEVICE, None)
    for variable in container.get("env", []):
        name: str = variable["name"]
        if name in _CONTAINERS_OWN:
            continue
        # In Kubernetes this value comes from a Secret, here from the environment.
        value = variable.get("value") if "valueFrom" not in variable else environment.get(name)
        if value is not None:
            found[name] = value
    return {**found, "BERTH_TERMINATION_LOG": str(termination_log)}


def _asks_for_devices(container: Mapping[str, Any]) -> bool:
    """Whether the container's limits name an extended resource, such as nvidia.com/gpu."""
    limits: Mapping[str, Any] = container.get("resources", {}).get("limits", {})
    return any("/" in name for name in limits)


def termination_message(
    container: Mapping[str, Any],
    termination_log: Path,
    lines: Sequence[str],
    code: int,
    *,
    fault: str | None = None,
    out_of_memory: bool = False,
) -> str:
    """The container's termination message: what it wrote there, or the end of its output if it failed without one.

    `fault`: why no engine could load its model; it says more than an engine's last lines do. `out_of_memory`: the
    kernel has killed it for lack of memory. Either begins the message in the form `Reason: message`, which the operator
    passes on as it is.
    """
    try:
        written = termination_log.read_bytes()[:_MESSAGE_BYTES].decode(errors="replace")
    except OSError:
        written = ""
    if not written and fault:
        return f"WrongFormat: {fault}"
    if not written and code != 0 and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        written = "\n".join(lines[-_FALLBACK_LINES:]).encode()[-_FALLBACK_BYTES:].decode(errors="ignore")
    if out_of_memory:
        why = f"OutOfMemory: the {container['name']} needed more memory than this machine has left, and was killed"
        return f"{why}; its last lines:\n{written}" if written else why
    return written


def oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since it started. 0 where it keeps no count."""
    try:
        found = [line.split()[1] for line in _VMSTAT.read_text().splitlines() if line.startswith("oom_kill ")]
    except OSError:
        return 0
    return int(found[0]) if found else 0


def _path_here(path: str, store: Path) -> str:
    inside = PurePosixPath(path)
    return str(store / inside.relative_to(MODEL_STORE)) if inside.is_relative_to(MODEL_STORE) else path
