"""A request passed to an engine and its answer passed back. Bytes are spliced; no chunk is parsed."""

from http import HTTPStatus

import orjson

from berth_router.errors import EngineFailedError, event_of
from berth_router.exchange import Exchange
from berth_router.metrics import Metrics
from berth_router.upstream import BrokenError, Connection, ConnectionPool, Head, address_of

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

    @property
    def streams_events(self) -> bool:
        """Whether the engine sends server-sent events."""
        return (self.head.get(b"content-type") or b"").startswith(b"text/event-stream")

    async def read(self) -> bytes:
        """See Connection.read."""
        return await self._connection.read()

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
        head = _request_head(address.host_header, address.base_path + path.encode(), len(body), exchange)
        connection = await self._pool.acquire(address)
        while True:
            try:
                await connection.send(head, body)
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

    async def relay(self, answer: Answer, exchange: Exchange) -> None:
        """Passes the answer on. Raises BrokenError where the engine breaks off."""
        head = answer.head
        if not exchange.started:
            headers = [pair for pair in head.headers if pair[0] not in _NOT_PASSED_ON]
            await exchange.start(head.status, headers, streams_events=answer.streams_events)
        elif head.status != HTTPStatus.OK or not answer.streams_events:
            await exchange.finish(await _as_event(answer))
            return
        passed = 0
        try:
            while data := await answer.read():
                passed += len(data)
                if answer.ended:
                    break
                await exchange.write(data)
        finally:
            self._metrics.response_bytes.inc(passed)
        await exchange.finish(data)


def _request_head(host: bytes, path: bytes, length: int, exchange: Exchange) -> bytes:
    lines = [
        b"POST " + path + b" HTTP/1.1",
        b"host: " + host,
        b"content-type: application/json",
        b"content-length: %d" % length,
        b"x-request-id: " + exchange.request_id.encode(),
    ]
    lines += [name + b": " + value for name in _TRACE_HEADERS if (value := exchange.header(name))]
    return b"\r\n".join([*lines, b"", b""])


async def _as_event(answer: Answer) -> bytes:
    """An engine's refusal as the event of a stream that has begun: its own error object where it has one."""
    content = b""
    while len(content) < _MAX_ERROR_BYTES and (data := await answer.read()):
        content += data
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        parsed = None
    if isinstance(parsed, dict) and parsed.get("error"):  # pyright: ignore[reportUnknownMemberType]
        return b"data: " + orjson.dumps(parsed) + b"\n\n"
    text = content[:1000].decode(errors="replace")
    return event_of(EngineFailedError(f"The engine answered with status {answer.head.status}: {text}", code="engine_error"))
