"""Calls of the management API."""

from typing import Any

import orjson

from tests.unit.router.conftest import Serving


async def call(serving: Serving, method: str, path: str, **fields: Any) -> tuple[int, Any]:
    """Status and JSON of the answer."""
    body = orjson.dumps(fields) if fields else b""
    reply = await serving.raw(method, path, body, "Content-Type: application/json\r\n")
    return reply.status, orjson.loads(reply.body)


async def models(serving: Serving) -> dict[str, Any]:
    """What the inventory has, by name."""
    status, answer = await call(serving, "GET", "/v1/models/inventory")
    assert status == 200
    return {model["name"]: model for model in answer["models"]}
