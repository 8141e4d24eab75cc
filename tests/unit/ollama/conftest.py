"""Ollama's own client, for a router served on loopback."""

from collections.abc import AsyncIterator
from typing import Any

import ollama
import pytest

from tests.unit.router.conftest import NO_AUTHORITIES, Serving, engine, ready, serving, settings, store

__all__ = ["engine", "ready", "serving", "settings", "store"]


@pytest.fixture
async def client(serving: Serving) -> AsyncIterator[Any]:
    make: Any = ollama.AsyncClient  # its types are not all known
    async with make(f"http://127.0.0.1:{serving.port}", verify=NO_AUTHORITIES, trust_env=False, timeout=10) as client:
        yield client
