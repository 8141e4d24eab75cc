"""What clients ask and engines answer, so that every byte says whose it is.

A prompt names its own marker and what the engine is to do with it. Each part of the answer has the marker and a number.
"""

import json
import re
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Self

MARKER = re.compile(rb"MK[0-9a-f]{16}Z")
MARKER_LENGTH = 19
POISON = re.compile(rb"POISON-[0-9]+Z")
"""What a hostile engine sends outside of any answer."""

SMUGGLED = "smuggled"
"""What the engine would be told to do by a request that lies hidden within another one."""

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question to a bench engine."""

    marker: str
    do: str
    """The engine's behaviour: a name in `behaviours`."""
    count: int = 3
    """Parts of the answer."""
    size: int = 1
    """How often each part has the marker."""
    pause: float = 0.0
    """Seconds between two parts."""

    @classmethod
    def read(cls, text: str) -> Self:
        """The prompt in the text of a message."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """The text of the message."""
        return json.dumps(asdict(self))

    def event(self, number: int, model: str) -> bytes:
        """A part of a streamed answer."""
        content = {"model": model, "number": number, "pad": self.marker * self.size}
        return b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n"

    def events(self, model: str) -> list[bytes]:
        """A whole streamed answer, without its end."""
        return [self.event(number, model) for number in range(self.count)]

    def whole(self, model: str) -> bytes:
        """An answer that is not streamed."""
        content = {"model": model, "count": self.count, "pad": self.marker * self.size * self.count}
        return json.dumps(content, separators=(",", ":")).encode()

    def refusal(self) -> dict[str, Any]:
        """The engine's own error object, as clients see it too: with all of OpenAI's fields."""
        error = {"message": f"refused {self.marker}", "type": "invalid_request_error", "param": None, "code": None}
        return {"error": error}


def new_marker(random: Random) -> str:
    """A marker that no other request has."""
    return f"MK{random.getrandbits(64):016x}Z"


class Lookout:
    """Looks at all bytes that one connection receives."""

    def __init__(self) -> None:
        self.own: set[bytes] = set()
        """The markers of what was asked on this connection."""
        self.poison: set[bytes] = set()
        self._tail = b""

    def look(self, data: bytes) -> list[bytes]:
        """The markers of others in what came last."""
        seen = self._tail + data
        self._tail = seen[-MARKER_LENGTH + 1 :]
        self.poison.update(POISON.findall(seen))
        return [marker for marker in MARKER.findall(seen) if marker not in self.own]
