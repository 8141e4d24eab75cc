"""The environment of a container's process on this machine."""

from pathlib import Path
from typing import Any

import pytest

from berth_local.node.environment import environment_here

LOG = Path("/run/log")
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "GGML_VK_VISIBLE_DEVICES": ""}


def test_a_gpu_that_the_user_names_is_for_engines_that_ask_for_one() -> None:
    mine = {"LLAMA_ARG_DEVICE": "Vulkan1"}
    assert "LLAMA_ARG_DEVICE" not in environment_here({}, LOG, mine)
    on_gpu = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
    assert environment_here(on_gpu, LOG, mine)["LLAMA_ARG_DEVICE"] == "Vulkan1"


def test_secrets_reach_only_who_asks_for_them() -> None:
    mine = {"PATH": "/bin", "HOME": "/home/me", "HF_TOKEN": "t", "BERTH_API_KEY": "k", "LLAMA_API_KEY": "l"}
    log = {"BERTH_TERMINATION_LOG": str(LOG), **NO_GPU}
    assert environment_here({}, LOG, mine) == {"PATH": "/bin", "HOME": "/home/me", **log}
    env = [
        {"name": "HOME", "value": "/tmp"},
        {"name": "HF_ENDPOINT", "value": "http://hub"},
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "environment", "key": "HF_TOKEN"}}},
        {"name": "BERTH_TERMINATION_LOG", "value": "/dev/termination-log"},
    ]
    assert environment_here({"env": env}, LOG, mine) == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "HF_ENDPOINT": "http://hub",
        "HF_TOKEN": "t",
        **log,
    }
    del mine["HF_TOKEN"]
    assert "HF_TOKEN" not in environment_here({"env": env}, LOG, mine)


@pytest.mark.parametrize(
    ("resources", "visible"),
    [
        ({}, ""),
        ({"limits": {"memory": "1Gi"}}, ""),
        ({"limits": {"memory": "1Gi", "nvidia.com/gpu": 1}}, "3"),
        ({"limits": {"amd.com/gpu": 2}}, "3"),
    ],
)
def test_who_asks_for_no_gpu_sees_none(resources: dict[str, Any], visible: str) -> None:
    found = environment_here({"resources": resources}, LOG, {"CUDA_VISIBLE_DEVICES": "3"})
    assert found["CUDA_VISIBLE_DEVICES"] == visible
