"""The hot path: an inference request from its first byte to its last."""

import asyncio

import structlog

from berth_api.inference import answered_models, name_in_engine
from berth_router.activator import Activator, Hold, Progress
from berth_router.asgi import Receive, Scope, Send
from berth_router.ask import Ask, InferenceRequest, RequestParser
from berth_router.ending import Ending
from berth_router.endpoints import Endpoint
from berth_router.errors import APIError, EngineFailedError, InternalError, UnavailableError
from berth_router.exchange import CLIENT_LEFT, ClientLeftError, Exchange
from berth_router.metrics import Metrics
from berth_router.proxy import Answer, Proxy
from berth_router.renaming import Renaming
from berth_router.upstream import BrokenError, ConnectError

_log = structlog.get_logger(__name__)

_CONNECT_ATTEMPTS = 5
_NEWS_SECONDS = 2.0
"""How long an engine that refuses connections is given to be seen as not ready any more, or to be back."""

_REASON_SECONDS = 3.0
"""How long a client whose answer broke waits for the reason: the operator mostly has it within a second."""


class Inference:
    """Answers inference requests."""

    def __init__(
        self, activator: Activator, proxy: Proxy, metrics: Metrics, parser: RequestParser, *, max_body_bytes: int, engine_store: str
    ) -> None:
        self._activator = activator
        self._proxy = proxy
        self._metrics = metrics
        self._parser = parser
        self._max_body_bytes = max_body_bytes
        self._engine_store = engine_store
        self._loop: asyncio.AbstractEventLoop | None = None

    async def handle(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; every failure becomes an answer in OpenAI's shape."""
        exchange = Exchange(scope, receive, send, endpoint.dialect)
        self._metrics.hot.in_flight += 1
        outcome = CLIENT_LEFT
        try:
            outcome = await self._answer(endpoint, exchange)
        except ClientLeftError:
            pass
        except asyncio.CancelledError:
            if not exchange.left:
                raise
            _forgive_cancellation()
        finally:
            exchange.close()
            self._metrics.hot.in_flight -= 1
            self._metrics.hot.answered[endpoint.path, outcome] += 1

    async def _answer(self, endpoint: Endpoint, exchange: Exchange) -> int:
        """Answers, and returns the status to count."""
        try:
            request = self._parser.parse(await exchange.read_body(self._max_body_bytes), endpoint)
            exchange.watch_for_leaving(self._running_loop())
            await self._serve(endpoint, request, exchange)
        except APIError as error:
            await exchange.fail(error)
            return error.status
        except ClientLeftError:
            raise
        except Exception:  # noqa: BLE001 (the last place where a fault can still become an answer)
            _log.exception("request_failed", request_id=exchange.request_id)
            error = InternalError(exchange.request_id)
            await exchange.fail(error)
            return error.status
        return exchange.status

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The loop, asked for once: that costs a system call."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    async def _serve(self, endpoint: Endpoint, request: InferenceRequest, exchange: Exchange) -> None:
        ask = request.ask
        deadline = self._activator.deadline()
        progress = _comments(ask, exchange) if ask.stream else None
        for attempt in range(_CONNECT_ATTEMPTS):
            hold = await self._activator.activate(ask, deadline, progress, again=attempt > 0)
            try:
                spec = hold.deployment.spec
                name = name_in_engine(spec, self._engine_store)
                answer = await self._open(endpoint, hold, request.body_for(spec, name), exchange)
                if answer:
                    renaming = Renaming.needed(answered_models(spec.backend, name), request.name)
                    await self._relay(endpoint, answer, hold, renaming, exchange)
                    return
            finally:
                self._activator.release(hold)
        raise UnavailableError(f"The engine of {ask.model} cannot be reached.", code="engine_unreachable", retry_after=2)

    async def _open(self, endpoint: Endpoint, hold: Hold, body: bytes, exchange: Exchange) -> Answer | None:
        """The engine's answer; None where it could not be reached, so that nothing has been sent. Raises EngineFailedError."""
        deployment = hold.deployment
        try:
            return await self._proxy.open(deployment.status.endpoint or "", endpoint.path, body, exchange)
        except ConnectError as error:
            _log.warning("engine_unreachable", deployment=deployment.name, error=str(error), request_id=exchange.request_id)
            self._metrics.engine_retries.inc()
            await self._activator.await_change(deployment, _NEWS_SECONDS)
            return None
        except BrokenError as error:
            raise await self._engine_failed(hold, error, exchange) from error

    async def _relay(self, endpoint: Endpoint, answer: Answer, hold: Hold, renaming: Renaming | None, exchange: Exchange) -> None:
        try:
            await self._proxy.relay(answer, exchange, renaming, Ending.needed(hold.deployment.spec.backend, endpoint.path))
        except BrokenError as error:
            raise await self._engine_failed(hold, error, exchange) from error
        finally:
            answer.close()

    async def _engine_failed(self, hold: Hold, error: BrokenError, exchange: Exchange) -> EngineFailedError:
        """What to tell the client, with the operator's reason where it comes in time and can still be told."""
        deployment = hold.deployment
        _log.warning("engine_broke_off", deployment=deployment.name, error=str(error), request_id=exchange.request_id)
        self._metrics.engine_failures.inc()
        can_tell = not exchange.started or exchange.streams_events
        reason = await self._activator.failure_of(deployment, _REASON_SECONDS) if can_tell else None
        return EngineFailedError(f"The engine of {deployment.spec.model} broke off its answer: {reason or error}", code="engine_failed")


def _comments(ask: Ask, exchange: Exchange) -> Progress:
    async def comment(text: str) -> None:
        await exchange.comment(f"waiting for {ask.model}: {text}")

    return comment


def _forgive_cancellation() -> None:
    """The task was cancelled by the request itself, which is over: to its server it has ended well."""
    task = asyncio.current_task()
    if task:
        task.uncancel()
