"""Requests of every kind, each with the outcomes that are right."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from tests.integration.serving.behaviours import (
    BREAKING,
    BREAKING_STREAMS,
    ENDLESS,
    FRIENDLY_PLAIN,
    FRIENDLY_STREAMS,
    HOSTILE_WHOLE,
)
from tests.integration.serving.prompts import MARKER_LENGTH, SMUGGLED, Prompt, new_marker
from tests.unit.serving.wire import CHAT, chunked

KEYS = {"first": "key-of-the-first", "second": "key-of-the-second"}
MODELS = ("m0", "m1", "m2", "m3")
LONGEST_BODY = 256 * 1024
"""What the router is set to take."""

WHOLE, TOLD, CUT, BUSY, BROKEN, REFUSED = "whole", "told", "cut", "busy", "broken", "refused"
POISONED = "poisoned"
"""With what an engine sent outside of an answer. Right only where that was on its way when the request was sent."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    kind: str
    data: bytes
    body: int = 0
    """Where its body begins in the data."""
    method: str = "POST"
    prompt: Prompt | None = None
    name: str = ""
    """The model's name in the answer."""
    streams: bool = False
    statuses: frozenset[int] = frozenset()
    """The refusals that are right."""
    allowed: frozenset[str] = frozenset({REFUSED})
    """The outcomes that are right."""
    closes: bool = False
    """Whether the connection must end with its answer."""
    expects: bool = False
    """Whether its client waits for 100 before it sends the body."""


def _headers(random: Random, key: str | None) -> str:
    lines = [f"X-Noise-{number}: {'n' * random.randrange(60)}" for number in range(random.choice((0, 0, 3, 30)))]
    if key:
        forms = (f"Authorization: Bearer {key}", f"X-Api-Key: {key}", f"authorization:bearer {key} ")
        lines.append(random.choice(forms))
    if random.random() < 0.1:
        lines.append("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk")
    random.shuffle(lines)
    return "".join(f"{line}\r\n" for line in lines)


def _framed(random: Random, body: bytes, *, in_chunks: bool) -> tuple[str, bytes]:
    if not in_chunks:
        return f"Content-Length: {len(body)}\r\n", body
    parts: list[bytes] = []
    while body:
        size = random.choice((1, 10, 100, 5000))
        parts.append(body[:size])
        body = body[size:]
    coded = chunked(*parts)
    if random.random() < 0.3:
        coded = coded[:-2] + b"X-Trailer: y\r\n\r\n"
    return "Transfer-Encoding: chunked\r\n", coded


def any_key(random: Random) -> str:
    """One that is valid."""
    return random.choice(list(KEYS.values()))


def inference(random: Random, prompt: Prompt, allowed: frozenset[str], *, streams: bool, old: bool = False) -> Asked:
    """A request to a model."""
    name = random.choice(("", "/models/")) + random.choice(MODELS)
    fields: dict[str, object] = {"model": name, "stream": streams}
    path = random.choice((CHAT, CHAT, "/v1/completions"))
    if path == CHAT:
        fields["messages"] = [{"role": "user", "content": prompt.text()}]
    else:
        fields["prompt"] = prompt.text()
    if random.random() < 0.05:
        fields["n_ctx"] = random.choice((1024, 4096, 8192))  # needs a deployment of its own, which is not ready yet
    body = json.dumps(fields).encode() + random.choice((b"", b"", b"\r\n\r\n", b" " * random.randrange(20_000)))
    framing, body = _framed(random, body, in_chunks=not old and random.random() < 0.3)
    expects = not old and random.random() < 0.1
    if expects:
        framing += "Expect: 100-continue\r\n"
    version = "1.0" if old else "1.1"
    target = path if random.random() < 0.9 else f"http://somewhere{path}?x=y"
    head = f"POST {target} HTTP/{version}\r\nHost: x\r\n{_headers(random, any_key(random))}{framing}\r\n".encode()
    return Asked(
        prompt.do,
        head + body,
        len(head),
        prompt=prompt,
        name=name,
        streams=streams,
        statuses=frozenset({400}) if prompt.do == "refuse" else frozenset(),
        allowed=allowed | {BUSY},
        closes=old,
        expects=expects,
    )


def friendly(random: Random, *, old: bool = False, megabytes: float = 0) -> Asked:
    """A request to an engine that behaves. `megabytes`: about how long its answer is; short if left out."""
    streams = random.random() < 0.5
    do = random.choice(list(FRIENDLY_STREAMS if streams else FRIENDLY_PLAIN))
    count, size, pause = random.randint(1, 8), random.randint(1, 40), random.choice((0, 0, 0.001, 0.02))
    if megabytes:
        count, size, pause = 40, int(random.uniform(0.5, 1.5) * megabytes * 1e6) // (40 * MARKER_LENGTH), 0
    prompt = Prompt(new_marker(random), do, count, size, pause)
    return inference(random, prompt, frozenset({WHOLE}), streams=streams, old=old)


def hostile(random: Random, *, old: bool = False) -> Asked:
    """A request to an engine that does not."""
    sort = random.random()
    pause = random.choice((0, 0.001, 0.02))
    prompt = Prompt(new_marker(random), "", random.randint(1, 8), random.randint(1, 40), pause)
    if sort < 0.4:
        return inference(random, _doing(random, prompt, HOSTILE_WHOLE), frozenset({WHOLE}), streams=False, old=old)
    broken = frozenset({TOLD, CUT, BROKEN})
    if sort < 0.7:
        return inference(random, _doing(random, prompt, BREAKING_STREAMS), broken, streams=True, old=old)
    return inference(random, _doing(random, prompt, BREAKING), broken, streams=random.random() < 0.5, old=old)


def endless(random: Random) -> Asked:
    """A request whose answer ends when its client has had enough."""
    prompt = Prompt(new_marker(random), "", 0, random.randint(1, 100))
    return inference(random, _doing(random, prompt, ENDLESS), frozenset({CUT}), streams=True)


def _doing(random: Random, prompt: Prompt, behaviours: Mapping[str, object]) -> Prompt:
    return Prompt(prompt.marker, random.choice(list(behaviours)), prompt.count, prompt.size, prompt.pause)


def managing(random: Random) -> Asked:
    """A request to the management API, or one that is refused and ends nothing."""
    key = any_key(random)
    method, path, key, status = random.choice(
        (
            ("GET", "/healthz", None, 200),
            ("GET", "/metrics", None, 200),
            ("GET", "/v1/models", key, 200),
            ("GET", "/v1/models/loaded", key, 200),
            ("HEAD", "/v1/models", key, 200),
            ("HEAD", CHAT, key, 405),
            ("GET", CHAT, key, 405),
            ("GET", "/nowhere", key, 404),
            ("GET", CHAT, None, 401),
            ("GET", "/v1/models", "wrong", 401),
        )
    )
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{_headers(random, key)}\r\n".encode()
    allowed = frozenset({WHOLE, BUSY} if status == 200 else {REFUSED, BUSY})
    return Asked(f"{method} {path}", head, len(head), method, statuses=frozenset({status}), allowed=allowed)


def refusable(random: Random) -> Asked:
    """A request whose body says nothing that could be answered."""
    body, status = random.choice(
        (
            (b"not json", 400),
            (b"[]", 400),
            (b'{"model":"m0"}', 400),
            (b'{"model":"m0","messages":[{"role":"user","content":"a"}],"x":' + b"[" * 900 + b"]" * 900 + b"}", 400),
            (b"[" * 200_000, 400),
            (b'{"model":"unknown","messages":[{"role":"user","content":"a"}]}', 404),
            (b'{"model":"../m0","messages":[{"role":"user","content":"a"}]}', 400),
        )
    )
    framing, body = _framed(random, body, in_chunks=random.random() < 0.2)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\n{_headers(random, any_key(random))}{framing}\r\n".encode()
    allowed = frozenset({REFUSED, BUSY})
    return Asked("refusable", head + body, len(head), statuses=frozenset({status}), allowed=allowed)


def hidden(random: Random) -> bytes:
    """A request that nobody sent: it lies behind the bytes that end a connection, or within a false body."""
    prompt = Prompt(new_marker(random), SMUGGLED)
    body = json.dumps({"model": "m0", "messages": [{"role": "user", "content": prompt.text()}]}).encode()
    key = any_key(random)
    return f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


MALFORMED = (
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Content-Length: 5\r\nContent-Length: 0\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5\r\nX: y\r\n z\r\n",
    "Content-Length : 5\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "X: y\rTransfer-Encoding: chunked\r\n",
    "X: y\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "X: \0\r\n",
    "Host: y\r\n",
    "Expect: else\r\n",
)
MALFORMED_LINES = (
    "POST {} HTTP/2.0",
    "POST {}",
    "PRI * HTTP/2.0",
    "POST  {} HTTP/1.1",
    "CONNECT x:1 HTTP/1.1",
    "post {} HTTP/1.1",
    "\x16\x03\x01",
)
BAD_CODING = (
    b"0x5\r\nhello\r\n",
    b"+5\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5\nhello\n0\n\n",
    b"5\r\nhellox",
    b"0\r\nnone\r\n\r\n",
    b"zz\r\n",
)


def malformed(random: Random) -> Asked:
    """Bytes that end the connection, with a hidden request behind them."""
    key = f"X-Api-Key: {any_key(random)}\r\n"
    line, fields, body = f"POST {CHAT} HTTP/1.1", "", b"0\r\n\r\n"
    sort = random.randrange(6)
    if sort < 2:
        fields = random.choice(MALFORMED)
    elif sort == 2:
        line = random.choice(MALFORMED_LINES).format(CHAT)
    elif sort == 3:
        # With an end behind it: where it is taken for a chunk, the body is whole, and what lies behind is a request.
        fields, body = "Transfer-Encoding: chunked\r\n", random.choice(BAD_CODING) + b"0\r\n\r\n"
    elif sort == 4:
        fields, body = random.choice(
            (
                (f"Content-Length: {LONGEST_BODY + 1}\r\n", b"{"),
                (f"Content-Length: {LONGEST_BODY + 1}\r\nExpect: 100-continue\r\n", b""),
                ("Transfer-Encoding: chunked\r\n", b"%x\r\n" % (LONGEST_BODY + 5) + b" " * (LONGEST_BODY + 5)),
                ("Content-Length: 99999999999\r\n", b"{"),
            )
        )
    else:
        fields = "X-Long: " + "x" * 70_000 + "\r\n"
    head = f"{line}\r\nHost: x\r\n{key}{fields}\r\n".encode("latin-1")
    statuses = frozenset({400, 413, 417, 431, 501, 505})
    data = head + body + hidden(random)
    return Asked("malformed", data, len(head), statuses=statuses, allowed=frozenset({REFUSED, BUSY}), closes=True)
