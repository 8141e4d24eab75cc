"""What a container's manifest means on this machine: its arguments and its termination message."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from berth_api.model_deployment import MODEL_STORE, Backend
from berth_local.node.admission import LOOPBACK
from berth_local.node.environment import LLAMA_DEVICE

_PATH_OPTIONS = frozenset({"--model", "--store"})
"""The options of `berth-launch` and `berth-download` whose value is a path in the container."""

_KNOWS_PATHS_ONLY = Backend.TRANSFORMERS.value
"""The engine whose model can have no other name than its path. The router knows that path by BERTH_ENGINE_STORE."""

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
