"""The client of a measurement: asks an engine for its health, and for an answer as a stream."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

PROBE_SECONDS = 0.005
"""Seconds between two checks of an engine's health. A moment of readiness may be late by so much."""

_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=1)


class AnswerError(Exception):
    """A chat request was not answered with text. The message says what came instead."""


@dataclass(frozen=True, slots=True)
class Asked:
    """When a request was about to be sent, and when the first text of its answer came:
    seconds on the monotonic clock.
    """

    at: float
    first_token_at: float


async def ready_at(session: aiohttp.ClientSession, health_url: str) -> float:
    """Asks until the engine says that it serves. The moment, on the monotonic clock."""
    while True:
        try:
            async with session.get(health_url, timeout=_PROBE_TIMEOUT) as response:
                if response.status == 200:
                    return time.monotonic()
        except (aiohttp.ClientError, TimeoutError):
            pass  # it does not listen yet
        await asyncio.sleep(PROBE_SECONDS)


async def ask(base_url: str, body: dict[str, Any], api_key: str = "none") -> Asked:
    """Sends one streaming chat request on a connection of its own and reads its answer to the end.

    Raises AnswerError.
    """
    first_token_at = None
    headers = {"Authorization": f"Bearer {api_key}"}
    at = time.monotonic()
    try:
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{base_url}/v1/chat/completions", json=body) as response,
        ):
            if response.status != 200:
                raise AnswerError(
                    f"{base_url} answered with status {response.status}: {(await response.text())[:1000]}"
                )
            async for line in response.content:
                if text_of(line) and first_token_at is None:
                    first_token_at = time.monotonic()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise AnswerError(f"{base_url} broke off: {error or type(error).__name__}") from error
    if first_token_at is None:
        raise AnswerError(f"{base_url} ended its answer without any text")
    return Asked(at, first_token_at)


def text_of(line: bytes) -> str:
    """The text that a line of an event stream of chat.completion.chunk objects carries; mostly none.

    Raises AnswerError.
    """
    if not line.startswith(b"data:"):
        return ""
    data = line.removeprefix(b"data:").strip()
    if data == b"[DONE]":
        return ""
    chunk: dict[str, Any] = json.loads(data)
    if chunk.get("error"):
        raise AnswerError(f"the answer broke off: {chunk['error']}")
    return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", []))
