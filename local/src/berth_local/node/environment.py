"""What a container's manifest means on this machine: its environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
