"""A hub and a store for each test."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.hub.server import HubServer

WEIGHTS = os.urandom(3_000_000)
FILES: dict[str, bytes] = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": WEIGHTS,
    "original/params.json": b"{}",
    "original/README.md": b"# The original",
    "README.md": b"# Tiny",
    "tokenizer.json": os.urandom(9000),
}
TAKEN = {"config.json", "model.safetensors", "original/params.json", "README.md", "tokenizer.json"}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """With the repository acme/tiny."""
    with HubServer() as server:
        server.repository("acme/tiny").commit(FILES)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty model store."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[Path]:
    """A store of 8 MiB."""
    if os.geteuid() != 0:
        missing("a file system of 8 MiB", "run as root, who may mount one")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def free_port() -> int:
    """A port on which nobody listened a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
