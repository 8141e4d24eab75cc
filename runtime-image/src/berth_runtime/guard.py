"""Has a Python engine ask for a key: runs the engine's own program, and guards the server that it makes.

    python3 guard.py VARIABLE PROGRAM [ARGUMENT...]

PROGRAM is a command that is installed beside this Python, such as vllm. It runs in this process. Its server, uvicorn's,
answers 401 to a request without the key that the environment's VARIABLE has; only its health is for everybody. vLLM has
a key of its own, but asks for it below /v1 alone. Transformers has none.

It runs in the engine's Python, so that it imports nothing of Berth.
"""

import hmac
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

OPEN_PATHS = frozenset({"/health"})
"""What the operator asks without a key."""

NOT_INSTALLED = 127
"""The exit code with which a shell says that there is no such command."""

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_REFUSAL = b'{"error": {"message": "this engine answers its Berth alone", "type": "authentication_error"}}'


class GuardedApp:
    """An ASGI application behind a key."""

    def __init__(self, app: Callable[[_Message, _Receive, _Send], Awaitable[None]], key: str) -> None:
        self._app = app
        self._expected = f"Bearer {key}".encode()

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Passes the request on if it has the key, or needs none."""
        if scope["type"] == "lifespan" or scope["path"] in OPEN_PATHS or self._has_key(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_REFUSAL))]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _has_key(self, scope: _Message) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)


def guard_servers(key: str) -> None:
    """From now on, each server of uvicorn that is made in this process asks for the key."""
    config: Any = import_module("uvicorn").Config
    configure = config.__init__

    def configure_guarded(self: Any, app: Any, *arguments: Any, **named: Any) -> None:
        configure(self, GuardedApp(app, key), *arguments, **named)

    config.__init__ = configure_guarded


def main() -> Any:
    """Runs the program. What `sys.exit` shall get of it."""
    beside = str(Path(__file__).parent)  # Python looks for modules here first: the engine's own must not be hidden
    sys.path[:] = [folder for folder in sys.path if folder != beside]
    variable, program = sys.argv[1:3]
    sys.argv[:] = sys.argv[2:]
    found = list(entry_points(group="console_scripts", name=program))
    if not found:
        print(f"{program} is not installed in {sys.prefix}", file=sys.stderr)
        return NOT_INSTALLED
    guard_servers(os.environ.pop(variable))
    return found[0].load()()


if __name__ == "__main__":
    sys.exit(main())
