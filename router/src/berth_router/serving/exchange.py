"""One request, from the end of its head to the end of its answer.

An Exchange owns the client's turn on its connection and, while an engine answers, the engine's connection. Its rules:

- Nobody writes to a client but the exchange whose turn it is. The exchange writes through the client's connection, an
  object that is never used for another client, and writes nothing once the client has left.
- The client's answer always stands between two chunks, so a stream can end with an error at any moment. A chunk passes
  unparsed only where it came whole and nothing in it is changed.
- A slow client makes its engine wait. Its connection keeps one buffer for it, no more.
- An exchange ends once: with the answer, with an error, or because the client left. Then it releases or closes the
  engine's connection, and calls the callbacks of `call_when_done`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

import structlog

from berth_router.errors import APIError, EngineFailedError, InternalError
from berth_router.repairs.repair import AnswerRewriter
from berth_router.serving.answers import CLIENT_LEFT, JSON_TYPE
from berth_router.serving.client_answer import ClientAnswer
from berth_router.serving.engine import BrokenAnswerError, EngineConnection
from berth_router.serving.heads import RequestHead, ResponseHead
from berth_router.serving.interfaces import AnswerRules, ClientWriter, ExchangeHost

_log = structlog.get_logger(__name__)

MAX_ERROR_BYTES = 64 * 1024
"""Bytes of an engine's refusal that are read to put it into the API's shape. A longer one passes as it is."""

_STALE_SECONDS = 1.0
"""How soon a connection breaks that its engine had closed before. If it breaks later, the engine has worked on the
request."""

_FIRST_REFUSAL = 400  # statuses from here on are refusals and failures


class Exchange(ClientAnswer):
    """One request and its answer."""

    __slots__ = (
        "_done_appender",
        "_done_callbacks",
        "_engine",
        "_heard_at",
        "_heard_bytes",
        "_host",
        "_refusal",
        "_refusal_body",
        "_release_engine",
        "_rules",
        "_task",
        "accepts_chunks",
        "answer_bytes",
        "body_room",
        "key",
    )

    def __init__(self, host: ExchangeHost, client: ClientWriter, head: RequestHead) -> None:
        ClientAnswer.__init__(self, client, head)  # super() would cost each request as much as three calls
        self._host = host
        self.key: str | None = None
        """The name of the API key that the request came with."""
        self.body_room = 0
        """Bytes of the budget for bodies that are reserved for the request."""
        self.answer_bytes = 0
        """Bytes of the engine's answer so far."""
        self.accepts_chunks = False
        self._refusal: ResponseHead | None = None
        """The head of the engine's refusal, whose body is collected."""
        self._refusal_body = b""
        self._engine: EngineConnection | None = None
        self._heard_at = 0.0
        self._heard_bytes = -1
        """`answer_bytes` when the engine was last found to have sent something; -1 before the head of its answer."""
        self._rules: AnswerRules | None = None
        self._done_appender = None
        self._release_engine: Callable[[EngineConnection], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._done_callbacks: list[Callable[[Exchange], None]] = []

    def call_when_done(self, callback: Callable[["Exchange"], None]) -> None:
        """Calls `callback` when the exchange ends, however it ends; at once if it has ended."""
        if self.done:
            callback(self)
        else:
            self._done_callbacks.append(callback)

    def release_body(self) -> None:
        """Gives back the room of the request's body, which is not needed any more."""
        room, self.body_room = self.body_room, 0
        if room:
            self._host.body_budget.release(room)

    def reserve_body(self, size: int) -> bool:
        """Reserves room for so many more bytes of the body; whether there was room."""
        if self.done or not self._host.body_budget.reserve(size):
            return False
        self.body_room += size
        return True

    def release_body_part(self, size: int) -> None:
        """Gives back the room of so many bytes of the body, which are not needed any more."""
        size = min(size, self.body_room)
        self.body_room -= size
        if size:
            self._host.body_budget.release(size)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a task for the exchange. The client gets what the task raises. The task ends when the client leaves."""
        task = self._task = self._host.loop.create_task(work)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.abort()
            return
        error = task.exception()
        if isinstance(error, APIError):
            self.fail(error)
        elif error:
            _log.error("request_failed", request_id=self.request_id, exc_info=error)
            self.fail(InternalError(self.request_id))

    # -- the engine's side: an AnswerReceiver

    def forward(
        self, engine: EngineConnection, request: bytes, rules: AnswerRules, release: Callable[[EngineConnection], None]
    ) -> None:
        """Sends the request to an engine, and its answer to the client.

        Calls `release` with the connection at the answer's end, or at once where the exchange is over. Raises
        BrokenAnswerError where the connection has been closed.
        """
        if self.done:
            release(engine)
            return
        self.accepts_chunks = False
        engine.send(self, request, bodyless=self._bodyless)
        self._engine, self._rules, self._release_engine = engine, rules, release
        self._heard_at, self._heard_bytes = self._host.loop.time(), -1

    def check_engine_silence(self, now: float) -> None:
        """Breaks off the answer of an engine that has been silent for too long. `now` is on the loop's clock."""
        if self._engine is None or self._rules is None or self._rules.may_be_silent:
            return
        slow = self._client is not None and self._client.slow
        if slow or (self._heard_bytes >= 0 and self._heard_bytes != self.answer_bytes):
            self._heard_at, self._heard_bytes = now, self.answer_bytes
            return
        limits = self._host.limits
        limit = limits.first_byte_seconds if self._heard_bytes < 0 else limits.silence_seconds
        if now - self._heard_at > limit:
            self._close_engine()
            self.on_broken(BrokenAnswerError(f"the engine was silent for {limit:g} s"))

    def on_head(self, head: ResponseHead, *, head_only: bool) -> None:
        """Takes the head of the engine's answer, and begins the client's."""
        rules = self._rules
        if rules is None:
            return
        self._heard_at, self._heard_bytes = self._host.loop.time(), 0
        rules.on_engine_answered()
        self._done_appender = rules.done_appender if head.streams_events else None
        if head.status >= _FIRST_REFUSAL or (self.status and not head.streams_events):
            self._refusal = head
        else:
            self._pass_head(head, rules)
            if head_only:
                self._flush_head()

    def on_chunks(self, coded: bytes, size: int) -> None:
        """Passes whole chunks to the client as they are."""
        self.answer_bytes += size
        if self._client:
            self._at_boundary = coded.endswith(b"\n\n\r\n")
            if self._unsent_head:
                coded, self._unsent_head = self._unsent_head + coded, b""
            self._client.write(coded)

    def on_body(self, data: bytes) -> None:
        """Passes a part of the answer to the client, or collects it where the engine refuses."""
        self.answer_bytes += len(data)
        rules = self._rules
        if rules is None:
            return
        if self._refusal:
            self._collect_refusal(self._refusal, data, rules)
            return
        if self._done_appender:
            self._done_appender.feed(data)
        rewriter = rules.rewriter
        if rewriter is None:
            self.write(data)
            return
        self.write(rewriter.feed(data))
        if rewriter.passes and not self._done_appender:
            self.accepts_chunks = self._chunked

    def on_end(self) -> None:
        """Releases the engine, and ends the client's answer."""
        rules, engine = self._rules, self._engine
        self._engine = self._rules = None
        if engine and self._release_engine:
            self._release_engine(engine)
        if rules is None:
            return
        if self._refusal:
            self._pass_refusal(self._refusal, rules)
            return
        try:
            self._end_answer(rules.rewriter)
        except Exception:  # noqa: BLE001 (nobody else would end the client's answer: the engine's is over)
            _log.exception("answer_not_rewritten", request_id=self.request_id)
            self.fail(InternalError(self.request_id))

    def _end_answer(self, rewriter: AnswerRewriter | None) -> None:
        if rewriter and self.status == 0:
            self._answer_at_end(rewriter)
            return
        rest = rewriter.end() if rewriter else b""
        self.finish(rest + self._done_appender.end() if self._done_appender else rest)

    def on_broken(self, error: BrokenAnswerError) -> None:
        """Reports to the rules that the answer broke off, or never began."""
        rules, engine = self._rules, self._engine
        self._engine = self._rules = None
        if rules:
            at_once = self._host.loop.time() - self._heard_at < _STALE_SECONDS
            stale = bool(engine and engine.reused and not engine.received_any and at_once)
            rules.on_engine_broken(error, stale=stale)

    def _pass_head(self, head: ResponseHead, rules: AnswerRules) -> None:
        rewriter = rules.rewriter
        if rewriter and rewriter.begins_at_end:
            return
        changed = bool(rewriter or self._done_appender)
        if self.status == 0:
            # A stream that breaks ends with an error. So no length is promised, even where the engine states one.
            length = None if changed or head.chunked or head.streams_events else head.length
            lines = rewriter.head_lines if rewriter and rewriter.head_lines else head.forwarded_lines
            self._begin(head.status, lines, length, head.streams_events)
        self.accepts_chunks = self._chunked and not changed

    def _answer_at_end(self, rewriter: AnswerRewriter) -> None:
        """Sends an answer that is made of all of the engine's."""
        try:
            content = rewriter.end()
        except APIError as error:
            self.fail(error)
        else:
            self.answer(HTTPStatus.OK, rewriter.head_lines or JSON_TYPE, content)

    def _collect_refusal(self, head: ResponseHead, data: bytes, rules: AnswerRules) -> None:
        """Keeps an engine's refusal until it is whole. One that is too long passes as it is."""
        self._refusal_body += data
        if len(self._refusal_body) <= MAX_ERROR_BYTES:
            return
        self._refusal = None
        rewriter = rules.rewriter
        if self.started or (rewriter and (rewriter.head_lines or rewriter.begins_at_end)):
            # What came is not in the API that has begun, or has a rewriter that gives the client's answer its head.
            self.fail(EngineFailedError(f"The engine answered with status {head.status}.", code="engine_error"))
            return
        self._pass_head(head, rules)
        self.write(self._refusal_body)

    def _pass_refusal(self, head: ResponseHead, rules: AnswerRules) -> None:
        error = rules.refusal(head.status, self._refusal_body)
        if error is None:
            self.answer(head.status, head.forwarded_lines, self._refusal_body)
        elif rules.asks_otherwise(error):
            self._refusal, self._refusal_body = None, b""
        else:
            self.fail(error)

    # -- the client's side

    def on_client_left(self) -> None:
        """The client has closed its connection."""
        if not self.done and not self.started:
            self.status = CLIENT_LEFT
        self._client = None
        self._end(whole=False)

    def on_client_slow(self) -> None:
        """The client takes its answer more slowly than it comes: the engine has to wait."""
        if self._engine:
            self._engine.pause()

    def on_client_caught_up(self) -> None:
        """The client has taken what was kept for it: the engine may go on."""
        if self._engine:
            self._engine.resume()

    def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine:
            engine.close()

    def _end(self, *, whole: bool) -> None:
        if self.done:
            return
        self.done = True
        client, self._client = self._client, None
        if self.body_room:
            self.release_body()
        if self._engine:
            self._close_engine()
        self._rules = None
        task, self._task = self._task, None
        if task and task is not asyncio.current_task(self._host.loop):
            task.cancel()
        for callback in self._done_callbacks:
            callback(self)
        self._done_callbacks.clear()
        if client:
            client.exchange_done(self, reusable=whole and not self._closes, whole=whole)
