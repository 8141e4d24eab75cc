"""The request, its answer, and the chunks of a stream, all of fixed sizes."""

import re
import zlib
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

MODELS = tuple(f"/models/model-{number}" for number in range(8))
"""The models that are deployed."""

MODEL = MODELS[3]
"""The model that is asked."""

KEY_NAME, KEY = "client", "sk-benchmark-client-0c1d2e3f4a5b6c7d8e9f"
OTHER_KEY_NAME, OTHER_KEY = "admin", "sk-benchmark-admin-f9e8d7c6b5a4f3e2d1c0"

PATH = "/v1/chat/completions"
REQUEST_BYTES = 1100
ANSWER_BYTES = 900
CHUNK_BYTES = 200

_PACE = re.compile(rb"Stream (\d+): (\d+) chunks, (\d+) a second")


class Pace(NamedTuple):
    """The kind of a stream. It is in the prompt, which every router passes on unchanged."""

    stream: int
    """Its number, which is in each of its chunks, so that bytes of another stream are noticed."""
    chunks: int
    per_second: int
    """A divisor of 1000."""

    def prompt(self) -> str:
        """The prompt that asks for it."""
        return f"Stream {self.stream}: {self.chunks} chunks, {self.per_second} a second."


def pace_of(body: bytes) -> Pace | None:
    """The stream that a request asks for. None: it asks for one plain answer."""
    found = _PACE.search(body)
    return Pace(*map(int, found.groups())) if found else None


def plain_body(model: str = MODEL) -> bytes:
    """The body of a request for one answer, REQUEST_BYTES long."""
    return _body({"model": model, "max_tokens": 128, "temperature": 0.2}, "What is the capital of France?")


def stream_body(pace: Pace) -> bytes:
    """The body of a request for a stream, REQUEST_BYTES long."""
    return _body({"model": MODEL, "max_tokens": pace.chunks, "temperature": 0.2, "stream": True}, pace.prompt())


def request(body: bytes, port: int) -> bytes:
    """The whole request, as a client sends it."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nAccept: */*\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer() -> bytes:
    """The body of the plain answer, ANSWER_BYTES long."""
    text = "The capital of France is Paris, which lies on the Seine. "
    usage = {"prompt_tokens": 212, "completion_tokens": 96, "total_tokens": 308}
    template: dict[str, Any] = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}],
        "usage": usage,
    }
    template["choices"][0]["message"]["content"] = _filling(text, ANSWER_BYTES - len(orjson.dumps(template)))
    return orjson.dumps(template)


def event(stream: int, number: int) -> bytes:
    """A stream's event of that number, CHUNK_BYTES long."""
    return b"%s %06d%s" % (_before(stream), number, _AFTER)


DONE = b"data: [DONE]\n\n"


def events(pace: Pace) -> bytes:
    """The whole stream, as its client must get it."""
    return b"".join(event(pace.stream, number) for number in range(pace.chunks)) + DONE


def checksum(data: bytes, before: int = 0) -> int:
    """The checksum of all bytes so far. `before`: the checksum of those before these."""
    return zlib.crc32(data, before)


def _body(fields: dict[str, object], prompt: str) -> bytes:
    system = {"role": "system", "content": ""}
    whole = {**fields, "messages": [system, {"role": "user", "content": prompt}]}
    text = "You are a helpful assistant. Answer in one short paragraph, and say so where you are not sure. "
    system["content"] = _filling(text, REQUEST_BYTES - len(orjson.dumps(whole)))
    return orjson.dumps(whole)


def _filling(text: str, length: int) -> str:
    """The text, repeated to this length."""
    return (text * (length // len(text) + 1))[:length]


_AFTER = b'"},"finish_reason":null}]}\n\n'


@lru_cache(maxsize=10_000)
def _before(stream: int) -> bytes:
    head = b'data: {"id":"c-%06d","object":"chat.completion.chunk","created":1760000000,' % stream
    choice = b'"model":"%s","choices":[{"index":0,"delta":{"role":"assistant","content":"' % MODEL.encode()
    return head + choice + b"." * (CHUNK_BYTES - len(head) - len(choice) - len(_AFTER) - len(" 000000"))
