"""One request, from the first byte of its head to the last of its answer.

An Exchange owns the client's turn on its connection and, while an engine answers, the engine's connection. Its rules:

- Nobody writes to a client but the exchange whose turn it is. It writes through the client's connection, an object that
  is never used for
  another client, and not at all once the client has left.
- The client's answer always stands between two chunks. So an error can be told at any moment of a stream. A chunk
  passes unparsed only where
  it came whole and nothing is changed in it.
- A client that is slow makes its engine wait; what is kept for it is one buffer of its connection.
- It ends once: with the answer, with an error, or because the client left. Then the engine's connection is given back
  or closed, and everybody
  is told who asked for that (`when_done`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import structlog

from berth_router.errors import APIError, Dialect, EngineFailedError, InternalError, error_event, request_id
from berth_router.serving.answers import CLIENT_LEFT, answer_head, header_lines
from berth_router.serving.engine import BrokenError, EngineConnection
from berth_router.serving.heads import BODILESS, RequestHead, ResponseHead
from berth_router.serving.sides import AnswerRules, ClientSide, Host

_log = structlog.get_logger(__name__)

MAX_ERROR_BYTES = 64 * 1024
"""Bytes of an engine's refusal that are read to put it into the API's shape. A longer one passes as it is."""

_EVENT_STREAM = (
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\n"  # a proxy in between must pass each event on as it comes
)

_JSON = b"content-type: application/json\r\n"
_STALE_SECONDS = 1.0
"""How soon a connection breaks that its engine had closed before it was asked. Later than that, the engine has worked on
the request."""

_REFUSED = 400
"""Statuses from here on are refusals and failures."""

_OPENAI = Dialect.OPENAI  # looking a member up in its class takes Python 3.11 longer than all that is done with it
_LAST_CHUNK = b"0\r\n\r\n"


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_at_boundary",
        "_bodyless",
        "_chunked",
        "_client",
        "_closing",
        "_collected",
        "_done",
        "_ending",
        "_engine",
        "_heard_at",
        "_heard_bytes",
        "_host",
        "_refused",
        "_release",
        "_rules",
        "_task",
        "_unsent",
        "_when_done",
        "dialect",
        "head",
        "key",
        "passed_bytes",
        "request_id",
        "room",
        "status",
        "streams_events",
        "takes_chunks",
    )

    def __init__(self, host: Host, client: ClientSide, head: RequestHead) -> None:
        self._host = host
        self._client: ClientSide | None = client
        self.head = head
        self.request_id = request_id(head.fields.get(b"x-request-id"))
        self.dialect = _OPENAI
        """Whose errors the client understands."""
        self.key: str | None = None
        """The name of the API key that the request came with."""
        self.room = 0
        """Bytes of the budget for bodies that are taken for it. See `release_room`."""
        self.status = 0
        """The status that was sent; 0 before, CLIENT_LEFT where the client left before."""
        self.streams_events = False
        """Whether the answer that has begun is a stream of events."""
        self.passed_bytes = 0
        """Bytes of the engine's answer so far."""
        self.takes_chunks = False
        self._chunked = False
        self._closing = False
        self._bodyless = head.method == "HEAD"
        self._at_boundary = True
        """Whether the last event of the stream that was sent is whole."""
        self._refused: ResponseHead | None = None
        self._collected = b""
        self._unsent = b""
        """The head of the answer, while it waits for the first bytes of the body."""
        self._engine: EngineConnection | None = None
        self._heard_at = 0.0
        self._heard_bytes = -1
        """`passed_bytes` when the engine was last found to have been heard; -1 before the head of its answer."""
        self._rules: AnswerRules | None = None
        self._ending = None
        self._release: Callable[[EngineConnection], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._when_done: list[Callable[[Exchange], None]] = []
        self._done = False

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.status != 0

    @property
    def done(self) -> bool:
        """Whether the exchange is over."""
        return self._done

    def when_done(self, callback: Callable[["Exchange"], None]) -> None:
        """Has `callback` called at the end, however it comes; at once where it has come."""
        if self._done:
            callback(self)
        else:
            self._when_done.append(callback)

    def release_room(self) -> None:
        """Gives back the room of the request's body, which is not needed any more."""
        room, self.room = self.room, 0
        if room:
            self._host.budget.release(room)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Has a task work on the exchange. What it raises is told to the client; it is cancelled when the client
        leaves."""
        task = self._task = self._host.loop.create_task(work)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.abort()
            return
        error = task.exception()
        if isinstance(error, APIError):
            self.fail(error)
        elif error:
            _log.error("request_failed", request_id=self.request_id, exc_info=error)
            self.fail(InternalError(self.request_id))

    # -- the answer, for whoever makes it

    def begin(self, status: int, headers: bytes, *, length: int | None, streams_events: bool = False) -> None:
        """Begins the answer. `headers`: its lines; `length`: bytes of its body, None where it is not known."""
        self._begin(status, headers, length, streams_events)
        self._flush()

    def _begin(self, status: int, headers: bytes, length: int | None, streams_events: bool) -> None:
        """As `begin`; the head goes with the first bytes of the body, which come at once."""
        client = self._client
        if client is None or self._done:
            return
        self.status = status
        self.streams_events = streams_events
        http10 = self.head.http10
        self._bodyless = self._bodyless or status in BODILESS
        self._chunked = length is None and not http10 and not self._bodyless
        self._closing = client.closing or (length is None and http10)
        self._unsent = answer_head(
            status, headers, self.request_id, length, chunked=self._chunked, closing=self._closing
        )

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, b""
        if unsent and self._client:
            self._client.write(unsent)

    def write(self, data: bytes) -> None:
        """Sends a part of the body."""
        client = self._client
        if client is None or not data or self._bodyless:
            return
        self._at_boundary = data.endswith((b"\n\n", b"\r\n\r\n"))
        unsent, self._unsent = self._unsent, b""
        client.write(b"%b%x\r\n%b\r\n" % (unsent, len(data), data) if self._chunked else unsent + data)

    def comment(self, text: str) -> None:
        """Sends a comment, which clients of an event stream skip; begins the stream where it has not begun. Not to a
        client that is slow."""
        if not self.started:
            self.begin(200, _EVENT_STREAM, length=None, streams_events=True)
        if self._client and not self._client.slow:
            self.write(b": " + text.encode() + b"\n\n")

    def finish(self, data: bytes = b"") -> None:
        """Ends the answer, with these last bytes."""
        client = self._client
        if client is None or self._done:
            return
        last, self._unsent = self._unsent, b""
        if self._chunked:
            last += (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + _LAST_CHUNK
        elif data and not self._bodyless:
            last += data
        if last:
            client.write(last)
        self._end(whole=True)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Sends a whole answer. `headers`: its lines."""
        self._begin(status, headers, len(body), streams_events=False)
        self.finish(body)

    def fail(self, error: APIError) -> None:
        """Tells the client of the error in the form that the answer can still take.

        Not begun: as a plain answer. A stream: as an event, without [DONE]. Anything else is cut off.
        """
        if self._done:
            return
        if not self.started:
            headers = [(name.encode(), value.encode()) for name, value in error.headers().items()]
            self.answer(error.status, _JSON + header_lines(headers), orjson.dumps(error.content(self.dialect)))
        elif self.streams_events:
            self._fail_stream(error.content(self.dialect))
        else:
            self.abort()

    def abort(self) -> None:
        """Ends the exchange, and cuts the connection: what has been sent of the answer must not be taken for all of
        it."""
        self._end(whole=False)

    def _fail_stream(self, content: dict[str, Any]) -> None:
        self.finish((b"" if self._at_boundary else b"\n\n") + error_event(content, self.dialect))

    # -- the engine's side

    def forward(
        self, engine: EngineConnection, request: bytes, rules: AnswerRules, release: Callable[[EngineConnection], None]
    ) -> None:
        """Passes the request to an engine, and its answer to the client. `release` gets the connection back at the
        answer's end, or at once where the exchange is over: nobody waits for what the engine would do.

        Raises BrokenError where the connection has been closed.
        """
        if self._done:
            release(engine)
            return
        self.takes_chunks = False
        engine.send(self, request, bodyless=self._bodyless)
        self._engine, self._rules, self._release = engine, rules, release
        self._heard_at, self._heard_bytes = self._host.loop.time(), -1

    def check_silence(self, now: float) -> None:
        """Breaks off the answer of an engine that has been silent for too long. `now` is on the loop's clock."""
        if self._engine is None:
            return
        slow = self._client is not None and self._client.slow
        if slow or (self._heard_bytes >= 0 and self._heard_bytes != self.passed_bytes):
            self._heard_at, self._heard_bytes = now, self.passed_bytes
            return
        limits = self._host.limits
        limit = limits.first_byte_seconds if self._heard_bytes < 0 else limits.silence_seconds
        if now - self._heard_at > limit:
            self._drop_engine()
            self.on_broken(BrokenError(f"the engine was silent for {limit:g} s"))

    def on_head(self, head: ResponseHead, *, alone: bool) -> None:
        """The engine begins to answer: see AnswerTaker."""
        rules = self._rules
        if rules is None:
            return
        self._heard_at, self._heard_bytes = self._host.loop.time(), 0
        rules.answered(head)
        self._ending = rules.ending if head.streams_events else None
        if head.status >= _REFUSED or (self.started and not head.streams_events):
            self._refused = head
        else:
            self._pass_head(head, rules)
            if alone:
                self._flush()

    def on_chunks(self, coded: bytes, size: int) -> None:
        """Whole chunks came, which pass as they are: see AnswerTaker."""
        self.passed_bytes += size
        if self._client:
            self._at_boundary = coded.endswith(b"\n\n\r\n")
            if self._unsent:
                coded, self._unsent = self._unsent + coded, b""
            self._client.write(coded)

    def on_body(self, data: bytes) -> None:
        """A part of the answer came: see AnswerTaker."""
        self.passed_bytes += len(data)
        rules = self._rules
        if rules is None:
            return
        if self._refused:
            self._collect(self._refused, data, rules)
            return
        if self._ending:
            self._ending.feed(data)
        self.write(rules.renaming.feed(data) if rules.renaming else data)

    def on_end(self) -> None:
        """The answer is whole: see AnswerTaker."""
        rules, engine = self._rules, self._engine
        self._engine = self._rules = None
        if engine and self._release:
            self._release(engine)
        if rules is None:
            return
        if self._refused:
            self._pass_refusal(self._refused, rules)
        else:
            self.finish(
                (rules.renaming.end() if rules.renaming else b"") + (self._ending.end() if self._ending else b"")
            )

    def on_broken(self, error: BrokenError) -> None:
        """The answer broke off: see AnswerTaker."""
        rules, engine = self._rules, self._engine
        self._engine = self._rules = None
        if rules:
            at_once = self._host.loop.time() - self._heard_at < _STALE_SECONDS
            rules.broken(error, stale=bool(engine and engine.reused and not engine.received_any and at_once))

    def _pass_head(self, head: ResponseHead, rules: AnswerRules) -> None:
        changed = bool(rules.renaming or self._ending)
        if not self.started:
            # Of a stream that breaks, the end is an error: so no length is promised, though the engine tells one.
            length = None if changed or head.chunked or head.streams_events else head.length
            self._begin(head.status, head.passed, length, head.streams_events)
        self.takes_chunks = self._chunked and not changed

    def _collect(self, head: ResponseHead, data: bytes, rules: AnswerRules) -> None:
        """Keeps an engine's refusal until it is whole. One that is too long passes as it is."""
        self._collected += data
        if len(self._collected) <= MAX_ERROR_BYTES:
            return
        self._refused = None
        if self.started:
            self.fail(EngineFailedError(f"The engine answered with status {head.status}.", code="engine_error"))
            return
        self._pass_head(head, rules)
        self.write(self._collected)

    def _pass_refusal(self, head: ResponseHead, rules: AnswerRules) -> None:
        content = rules.refusal(head, self._collected)
        if self.started:
            self._fail_stream(
                content or EngineFailedError(f"The engine answered with status {head.status}.").content(self.dialect)
            )
        elif content is None:
            self.answer(head.status, head.passed, self._collected)
        else:
            self.answer(head.status, _JSON, orjson.dumps(content))

    # -- the client's side

    def client_left(self) -> None:
        """The client has closed its connection."""
        if not self._done and not self.started:
            self.status = CLIENT_LEFT
        self._client = None
        self._end(whole=False)

    def client_slow(self) -> None:
        """The client takes its answer more slowly than it comes."""
        if self._engine:
            self._engine.pause()

    def client_ready(self) -> None:
        """The client has taken what was kept for it."""
        if self._engine:
            self._engine.resume()

    def _drop_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine:
            engine.close()

    def _end(self, *, whole: bool) -> None:
        if self._done:
            return
        self._done = True
        client, self._client = self._client, None
        self.release_room()
        self._drop_engine()
        self._rules = None
        task, self._task = self._task, None
        if task and task is not asyncio.current_task(self._host.loop):
            task.cancel()
        for callback in self._when_done:
            callback(self)
        self._when_done.clear()
        if client:
            client.exchange_done(self, reusable=whole and not self._closing, whole=whole)
