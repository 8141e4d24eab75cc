"""The answer that a client gets: its head, its framing, and how it ends, whoever makes its bytes.

An answer always stands between two chunks, so a stream can end with an error at any moment.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from berth_router.errors import APIError, Dialect, error_event, request_id
from berth_router.serving.answers import answer_head, error_answer
from berth_router.serving.heads import BODILESS, RequestHead
from berth_router.serving.interfaces import ClientWriter

FailureEvent = Callable[[dict[str, Any]], bytes]
"""Makes an error's JSON object the end of a stream."""

_EVENT_STREAM = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
_UNBUFFERED = b"x-accel-buffering: no\r\n"
"""A proxy in between must pass each event on as it comes."""

_OPENAI, _ANTHROPIC = Dialect.OPENAI, Dialect.ANTHROPIC  # Python 3.11 takes long to look a member up in its class
_LAST_CHUNK = b"0\r\n\r\n"


class ClientAnswer(ABC):
    """The client's side of an exchange, which knows when it is over."""

    __slots__ = (
        "_at_boundary",
        "_bodyless",
        "_chunked",
        "_client",
        "_closes",
        "_unsent_head",
        "answer_lines",
        "dialect",
        "done",
        "failure_event",
        "head",
        "request_id",
        "status",
        "streams_events",
    )

    def __init__(self, client: ClientWriter, head: RequestHead) -> None:
        self._client: ClientWriter | None = client
        """None once the client has left, or its turn is over."""
        self.head = head
        self.request_id = request_id(head.fields.get(b"x-request-id"))
        self.dialect = _OPENAI
        """Whose errors the client understands."""
        self.status = 0
        """The status that was sent; 0 before; CLIENT_LEFT where the client left before."""
        self.streams_events = False
        """Whether the answer that has begun is a stream of events."""
        self.failure_event: FailureEvent | None = None
        """None: an event as the dialect has it."""
        self.answer_lines = b""
        """Header lines that the answer has besides its own."""
        self._chunked = False
        self._closes = False
        self._bodyless = head.method == "HEAD"
        self._at_boundary = True
        """Whether the last event of the stream that was sent is whole."""
        self._unsent_head = b""
        """The head of the answer, while it waits for the first bytes of the body."""
        self.done = False
        """Whether the exchange is over."""

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.status != 0

    @abstractmethod
    def _end(self, *, whole: bool) -> None:
        """Ends the exchange, once. `whole`: the client has got all of its answer; else its connection is cut."""

    def begin(self, status: int, headers: bytes, *, length: int | None, streams_events: bool = False) -> None:
        """Begins the answer. `headers`: its lines; `length`: bytes of its body, None where it is not known."""
        self._begin(status, headers, length, streams_events)
        self._flush_head()

    def _begin(self, status: int, headers: bytes, length: int | None, streams_events: bool) -> None:
        """As `begin`, but keeps the head until the first bytes of the body come, to send both at once."""
        client = self._client
        if client is None or self.done:
            return
        self.status = status
        self.streams_events = streams_events
        if streams_events:
            headers += _UNBUFFERED
        if self.dialect is _ANTHROPIC:
            headers += b"request-id: %b\r\n" % self.request_id.encode()
        http10 = self.head.http10
        self._bodyless = self._bodyless or status in BODILESS
        self._chunked = length is None and not http10 and not self._bodyless
        self._closes = client.closes_after_answer or (length is None and http10)
        self._unsent_head = answer_head(
            status, headers + self.answer_lines, self.request_id, length, chunked=self._chunked, closes=self._closes
        )

    def _flush_head(self) -> None:
        head, self._unsent_head = self._unsent_head, b""
        if head and self._client:
            self._client.write(head)

    def write(self, data: bytes) -> None:
        """Sends a part of the body."""
        client = self._client
        if client is None or not data or self._bodyless:
            return
        self._at_boundary = data.endswith((b"\n\n", b"\r\n\r\n"))
        head, self._unsent_head = self._unsent_head, b""
        client.write(b"%b%x\r\n%b\r\n" % (head, len(data), data) if self._chunked else head + data)

    def comment(self, text: str) -> None:
        """Sends a comment, which clients of a stream skip. Begins the stream if need be. A slow client gets none."""
        if not self.started:
            self.begin(200, _EVENT_STREAM, length=None, streams_events=True)
        if self._client and not self._client.slow:
            self.write(b": " + text.encode() + b"\n\n")

    def finish(self, data: bytes = b"") -> None:
        """Ends the answer, with these last bytes."""
        client = self._client
        if client is None or self.done:
            return
        last, self._unsent_head = self._unsent_head, b""
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
        """Ends the exchange with an error, in the form that the answer can still take.

        Before the answer: an error's answer. Within a stream: an error event, without [DONE]. Else the answer breaks.
        """
        if self.done:
            return
        if not self.started:
            self.answer(error.status, *error_answer(error, self.dialect))
        elif self.streams_events:
            self._fail_stream(error.content(self.dialect))
        else:
            self.abort()

    def abort(self) -> None:
        """Ends the exchange and cuts the client's connection, so that half an answer cannot look whole."""
        self._end(whole=False)

    def _fail_stream(self, content: dict[str, Any]) -> None:
        separator = b"" if self._at_boundary or self.dialect is Dialect.OLLAMA else b"\n\n"  # its lines are whole
        event = self.failure_event(content) if self.failure_event else error_event(content, self.dialect)
        self.finish(separator + event)
