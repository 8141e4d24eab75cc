"""What the programs of this folder share: whom they ask, what, and how they say what came of it.

Each program is a client. Its features are functions that raise what the client raises. One line of JSON for each says
how it went: {"feature": "chat", "error": null}.
"""

import asyncio
import contextlib
import inspect
import json
import os
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

URL = os.environ["BERTH_URL"]
"""Where Berth listens, such as http://127.0.0.1:8080."""

MODEL = os.environ["BERTH_MODEL"]
"""A model whose chat template has tools, and examples of them."""

QUESTION = "What is the capital of France?"
WEATHER = "weather in Paris?"
"""Of this the model's template has examples, so that the model calls a tool, or gives the form of one."""

LONG = "Count from 1 to 1000, one number a line."
TOO_LONG = "word " * 40_000
"""More than the longest context of the model."""

SCHEMA = {
    "type": "object",
    "properties": {"capital": {"type": "string", "enum": ["Paris", "Rome"]}},
    "required": ["capital"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

PATIENCE_SECONDS = 30

Feature = Callable[[], Any]


def report(features: dict[str, Feature]) -> None:
    """Runs the features that the arguments name, or else all, and says of each what came of it."""
    loop = asyncio.Runner()  # one for all: clients keep connections, which belong to a loop
    for name in sys.argv[1:] or features:
        try:
            outcome = features[name]()
            if inspect.iscoroutine(outcome):
                loop.run(outcome)
            error = None
        except Exception as raised:
            place = traceback.extract_tb(raised.__traceback__)
            here = next((step for step in reversed(place) if "/python/with_" in step.filename), place[-1])
            error = f"{type(raised).__name__}: {str(raised)[:1500]} (in `{here.line}`)"
        print(json.dumps({"feature": name, "error": error}), flush=True)
    with contextlib.suppress(RuntimeError):  # some client cannot be closed: it has nothing more to say
        loop.close()


def unload() -> None:
    """The next request finds no engine."""
    with contextlib.suppress(urllib.error.HTTPError):  # there was none
        _post("/v1/models/unload", {"model": MODEL})


def nothing_in_hand() -> None:
    """Waits until the router has no request in hand. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE_SECONDS / 3
    while _in_hand():
        if time.monotonic() > end:
            raise TimeoutError("the client has left, and its request is still in hand")
        time.sleep(0.05)


def is_city(arguments: Any) -> None:
    """Whether a tool got what it needs."""
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    assert isinstance(arguments["city"], str), arguments
    assert arguments["city"], arguments


def is_answer(text: Any) -> None:
    """Whether it is what a model says to the question."""
    assert isinstance(text, str), text
    assert "Paris" in text, text


def _in_hand() -> bool:
    with urllib.request.urlopen(f"{URL}/metrics", timeout=PATIENCE_SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    return any(line.startswith("berth_router_requests_in_flight") and float(line.split()[-1]) > 0 for line in lines)


def _post(path: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{URL}{path}", json.dumps(body).encode(), {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        answer.read()
