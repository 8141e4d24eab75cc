"""A request passed to an engine and its answer passed back. Bytes are spliced; no chunk is parsed."""

from http import HTTPStatus
from typing import Any

import orjson

from berth_router.ending import Ending
from berth_router.errors import APIError, Dialect, EngineFailedError, UnknownPathError, error_event
from berth_router.exchange import Exchange
from berth_router.metrics import Metrics
from berth_router.renaming import Renaming
from berth_router.upstream import Address, BrokenError, Connection, ConnectionPool, Head, Taker, address_of

_NOT_PASSED_ON = frozenset(
    {
        # Hop by hop, RFC 9110 section 7.6.1.
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # The router's own to say.
        b"access-control-allow-origin",
        b"date",
        b"server",
        b"x-request-id",
    }
)

_TRACE_HEADERS = (b"traceparent", b"tracestate")

_MAX_ERROR_BYTES = 64 * 1024


class Answer:
    """An engine's answer, whose head has come."""

    def __init__(self, pool: ConnectionPool, endpoint: str, connection: Connection, head: Head) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._connection = connection
        self.head = head
        self.streams_events = (head.get(b"content-type") or b"").startswith(b"text/event-stream")
        """Whether the engine sends server-sent events."""

    async def read(self, taker: Taker | None = None) -> bytes:
        """See Connection.read."""
        return await self._connection.read(taker)

    @property
    def ended(self) -> bool:
        """See Connection.ended."""
        return self._connection.ended

    def close(self) -> None:
        """Gives the connection back; an answer that was not read to its end is cut off, and the engine stops making it."""
        self._pool.release(address_of(self._endpoint), self._connection)


class Proxy:
    """Passes requests to engines."""

    def __init__(self, pool: ConnectionPool, metrics: Metrics) -> None:
        self._pool = pool
        self._metrics = metrics

    async def open(self, endpoint: str, path: str, body: bytes, exchange: Exchange) -> Answer:
        """Sends the request and waits for the head of the answer; close the answer in any case.

        An idle connection that turns out to be dead is replaced once. Raises ConnectError, or BrokenError where the engine may have had
        the request.
        """
        address = address_of(endpoint)
        head = _request_head(address, path, len(body), exchange)
        connection = await self._pool.acquire(address)
        while True:
            try:
                connection.send(head, body)
                return Answer(self._pool, endpoint, connection, await connection.head())
            except BrokenError:
                connection.close()
                if not connection.reused or connection.received_any:
                    raise
            except BaseException:
                connection.close()
                raise
            # The engine closed the idle connection just as the request was on its way.
            self._metrics.engine_retries.inc()
            connection = await self._pool.acquire(address, fresh=True)

    async def relay(self, answer: Answer, exchange: Exchange, renaming: Renaming | None = None, ending: Ending | None = None) -> None:
        """Passes the answer on, with `renaming` under another model's name, and where it is a stream of events with `ending`.

        Raises BrokenError where the engine breaks off.
        """
        head = answer.head
        if exchange.started and (head.status != HTTPStatus.OK or not answer.streams_events):
            await exchange.finish(error_event(_refusal(await _beginning(answer), answer, exchange.dialect), exchange.dialect))
            return
        headers = [pair for pair in head.headers if pair[0] not in _NOT_PASSED_ON]
        if head.status >= HTTPStatus.BAD_REQUEST:
            content = await _beginning(answer)
            if answer.ended:
                content = orjson.dumps(_refusal(content, answer, exchange.dialect))
                headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
            await exchange.start(head.status, headers, streams_events=False)
            await self._splice(answer, _Passage(exchange), content)
            return
        if renaming:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        if not exchange.started:
            await exchange.start(head.status, headers, streams_events=answer.streams_events)
        await self._splice(answer, _Passage(exchange, renaming, ending if answer.streams_events else None))

    async def _splice(self, answer: Answer, passage: "_Passage", beginning: bytes = b"") -> None:
        """Passes the body on; `beginning` is what has been read of it."""
        try:
            data = passage.through(beginning)
            while not answer.ended:
                if data:
                    await passage.exchange.write(data)
                data = passage.through(await answer.read(passage))
        finally:
            self._metrics.hot.response_bytes += passage.bytes
        await passage.exchange.finish(data + passage.end())


class _Passage:
    """The way of an answer's bytes to the client, and what becomes of them on it."""

    def __init__(self, exchange: Exchange, renaming: Renaming | None = None, ending: Ending | None = None) -> None:
        self.exchange = exchange
        self.bytes = 0
        """What came from the engine."""
        self._writer = exchange.writer
        self._renaming = renaming
        self._ending = ending
        self._changes = renaming is not None or ending is not None

    def through(self, data: bytes) -> bytes:
        """What the client gets of the engine's bytes now."""
        self.bytes += len(data)
        if self._ending:
            self._ending.feed(data)
        return self._renaming.feed(data) if self._renaming else data

    def take(self, data: bytes) -> bool:
        """See Taker. Sends what comes without waking a task for it; not to a client that is slow, for which somebody has to wait."""
        if self._writer is None or not self._writer.ready:
            return False  # before the renaming and the ending, which remember what they were given
        passed = self.through(data)
        if passed:
            self._writer.write(b"%x\r\n%b\r\n" % (len(passed), passed))
            self.exchange.last_written = passed
        return True

    def take_chunk(self, chunk: bytes, start: int) -> bool:
        """See Taker. A chunk in which nothing is changed is sent as it came."""
        if self._changes:
            return self.take(chunk[start:-2])
        if self._writer is None or not self._writer.write(chunk):
            return False
        self.exchange.last_written = data = chunk[start:-2]
        self.bytes += len(data)
        return True

    def end(self) -> bytes:
        """What is still to come after the engine's last byte."""
        return (self._renaming.end() if self._renaming else b"") + (self._ending.end() if self._ending else b"")


def _request_head(address: Address, path: str, length: int, exchange: Exchange) -> bytes:
    traces = b"".join([name + b": " + value + b"\r\n" for name in _TRACE_HEADERS if (value := exchange.headers.get(name))])
    return b"POST %s%s HTTP/1.1\r\nhost: %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %s\r\n%s\r\n" % (
        address.base_path,
        path.encode(),
        address.host_header,
        length,
        exchange.request_id.encode(),
        traces,
    )


async def _beginning(answer: Answer) -> bytes:
    """The answer's body, if it is no longer than an error is; else its beginning."""
    content = b""
    while len(content) < _MAX_ERROR_BYTES and (data := await answer.read()):
        content += data
    return content


def _refusal(content: bytes, answer: Answer, dialect: Dialect) -> dict[str, Any]:
    """An engine's refusal as the API's error: its own error object where it has one, else its words."""
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        parsed = None
    told: dict[str, Any] = parsed if isinstance(parsed, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    if told.get("error"):
        return told
    detail = told.get("detail")  # as FastAPI has it
    text = detail if isinstance(detail, str) else content[:1000].decode(errors="replace")
    status = answer.head.status
    error: APIError = EngineFailedError(f"The engine answered with status {status}: {text}", code="engine_error")
    if status == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:  # vLLM has only the paths that the model is made for
        error = UnknownPathError(
            "The model's engine does not have this path for this model: embeddings come from embedding models, answers from others.",
            code="path_not_served",
        )
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        error.type = "invalid_request_error"
    return error.content(dialect)
