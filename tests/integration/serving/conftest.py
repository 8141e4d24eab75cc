"""The storm's clients run on uvloop, as its router and its engines do."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """One."""
    return {"uvloop": uvloop.new_event_loop}
