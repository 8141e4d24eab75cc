"""Requests to models: which engine gets each, and what becomes of it when the engine is not there, or breaks.

A request whose model is ready goes on without a task: from the call in which its last byte came, into an idle
connection of its engine. A task is made only for what has to wait.
"""

from dataclasses import dataclass
from typing import Any

import structlog

from berth_api.inference import answered_models, name_in_engine
from berth_router.errors import APIError, EngineFailedError, InternalError, TooManyRequestsError, UnavailableError
from berth_router.lifecycle.activator import Activator, ProgressListener
from berth_router.lifecycle.lease_keeper import Claim
from berth_router.metrics import Metrics
from berth_router.request.ask import InferenceRequest, RequestParser
from berth_router.request.endpoints import Endpoint
from berth_router.serving.ending import Ending
from berth_router.serving.engine import BrokenError, EngineConnection
from berth_router.serving.exchange import Exchange
from berth_router.serving.heads import ResponseHead
from berth_router.serving.limits import Share
from berth_router.serving.pool import Address, ConnectError, EnginePool, address_of
from berth_router.serving.refusals import refusal_of
from berth_router.serving.renaming import Renaming

_log = structlog.get_logger(__name__)

_ATTEMPTS = 5
"""How often one request is given to an engine: one that refuses connections, or that somebody took away, is
replaced."""

_NEWS_SECONDS = 2.0
"""How long an engine that refuses connections is given to be seen as not ready any more, or to be back."""

_REASON_SECONDS = 3.0
"""How long a client whose answer broke waits for the reason: the operator mostly has it within a second."""

_TRACE_HEADERS = (b"traceparent", b"tracestate")


@dataclass(frozen=True, slots=True)
class Inference:
    """What all inference requests share."""

    activator: Activator
    pool: EnginePool
    metrics: Metrics
    parser: RequestParser
    engine_store: str
    """Where engines have the model store."""
    in_hand: Share
    """Requests in hand, by model."""


@dataclass(frozen=True, slots=True)
class InferencePath:
    """Answers the requests to one path."""

    inference: Inference
    endpoint: Endpoint
    body_limit: int

    def serve(self, exchange: Exchange, body: bytes) -> None:
        """Answers the request; every failure becomes an answer in the API's shape."""
        call = _Call(self.inference, self.endpoint, exchange)
        try:
            call.begin(body)
        except APIError as error:
            exchange.fail(error)
        except Exception:  # noqa: BLE001 (the last place where a fault can still become an answer)
            _log.exception("request_failed", request_id=exchange.request_id)
            exchange.fail(InternalError(exchange.request_id))


class _Call:
    """One request on its way to an engine that answers it. It is the AnswerRules of the request's exchange."""

    __slots__ = (
        "_alone",
        "_deadline",
        "_endpoint",
        "_exchange",
        "_given",
        "_hold",
        "_inference",
        "_model",
        "_request",
        "_resent",
        "ending",
        "renaming",
    )

    def __init__(self, inference: Inference, endpoint: Endpoint, exchange: Exchange) -> None:
        self._inference = inference
        self._endpoint = endpoint
        self._exchange = exchange
        self._request: InferenceRequest | None = None
        """The request, until an engine has begun to answer it."""
        self._model: str | None = None
        """The model among whose requests in hand this one is counted."""
        self._hold: Claim | None = None
        self._deadline = 0.0
        self._given = 0
        """How often an engine was chosen."""
        self._resent = False
        self._alone = False
        """Whether no other request for the model was in hand when the engine broke off."""
        self.renaming: Renaming | None = None
        self.ending: Ending | None = None
        inference.metrics.hot.in_flight += 1
        exchange.when_done(self._done)

    def begin(self, body: bytes) -> None:
        """Passes the request on at once where its model is ready, and has a task wait where it is not. Raises
        APIError."""
        inference = self._inference
        request = self._request = inference.parser.parse(body, self._endpoint)
        model = request.ask.model
        if not inference.in_hand.take(model):
            raise TooManyRequestsError(
                f"{inference.in_hand.most} requests for {model} are in hand, which is as many as this router takes at once.",
                code="too_many_requests",
            )
        self._model = model
        hold = self._hold = inference.activator.claim_ready(request.ask)
        if hold is None:
            self._exchange.run(self._activate(request))
            return
        self._given = 1
        address = _address(hold)
        connection = inference.pool.idle(address)
        if connection is None:
            self._exchange.run(self._connect(request, hold))
        else:
            self._forward(request, hold, address, connection)

    # -- AnswerRules

    def answered(self, head: ResponseHead) -> None:
        """The engine has begun to answer: the request is not needed any more, since it is never sent again from here
        on."""
        self._request = None
        self._exchange.release_room()

    def refusal(self, head: ResponseHead, content: bytes) -> dict[str, Any] | None:
        """The engine's refusal in the API's shape."""
        return refusal_of(head.status, content, self._exchange.dialect)

    def broken(self, error: BrokenError, *, stale: bool) -> None:
        """Another engine, or a word on why there is none."""
        request, hold = self._request, self._hold
        if hold is None:
            return
        self._alone = self._inference.in_hand.count(hold.deployment.spec.model) == 1
        _log.warning(
            "engine_broke_off", deployment=hold.deployment.name, error=str(error), request_id=self._exchange.request_id
        )
        self._exchange.run(self._replace(request, hold, error, stale=stale) if request else self._explain(hold, error))

    # -- the way to an engine

    async def _activate(self, request: InferenceRequest) -> None:
        """Waits for an engine and gives it the request. Raises APIError."""
        activator = self._inference.activator
        self._deadline = self._deadline or activator.deadline()
        progress = _comments(request.ask.model, self._exchange) if request.ask.stream else None
        while self._given < _ATTEMPTS:
            hold = await activator.activate(request.ask, self._deadline, progress, again=self._given > 0)
            if self._exchange.done:  # its client left in the moment in which the model became ready
                activator.release(hold)
                return
            self._hold = hold
            self._given += 1
            if await self._reached(request, hold):
                return
        raise UnavailableError(
            f"The engine of {request.ask.model} cannot be reached.", code="engine_unreachable", retry_after=2
        )

    async def _connect(self, request: InferenceRequest, hold: Claim) -> None:
        if not await self._reached(request, hold):
            await self._activate(request)

    async def _reached(self, request: InferenceRequest, hold: Claim) -> bool:
        """Gives the request to the engine; False where that cannot be reached, so that nothing has been sent."""
        inference, address = self._inference, _address(hold)
        try:
            connection = inference.pool.idle(address) or await inference.pool.connect(address)
        except ConnectError as error:
            _log.warning(
                "engine_unreachable",
                deployment=hold.deployment.name,
                error=str(error),
                request_id=self._exchange.request_id,
            )
            inference.metrics.engine_retries.inc()
            await inference.activator.await_change(hold.deployment, _NEWS_SECONDS)
            self._let_go()
            return False
        self._forward(request, hold, address, connection)
        return True

    def _forward(self, request: InferenceRequest, hold: Claim, address: Address, connection: EngineConnection) -> None:
        spec = hold.deployment.spec
        pool = self._inference.pool
        name = name_in_engine(spec, self._inference.engine_store)
        self.renaming = Renaming.needed(answered_models(spec.backend, name), request.name)
        self.ending = Ending.needed(spec.backend, self._endpoint.path) if request.ask.stream else None
        body = request.body_for(spec, name)
        head = _request_head(address, self._endpoint.path, len(body), self._exchange)
        try:
            self._exchange.forward(connection, head + body, self, lambda used: pool.release(address, used))
        except BrokenError as error:  # closed since it was taken
            self.broken(error, stale=True)

    async def _replace(self, request: InferenceRequest, hold: Claim, error: BrokenError, *, stale: bool) -> None:
        """Sends a request again of whose answer nothing has come, where that can do no harm. Raises APIError.

        A request that killed its engine must not kill the next one. So it is sent again only where the engine still
        takes connections, having closed an idle one, or where somebody took the engine away on purpose.
        """
        inference = self._inference
        if stale and not self._resent:
            self._resent = True
            address = _address(hold)
            try:
                connection = await inference.pool.connect(address)
            except ConnectError:
                pass
            else:
                inference.metrics.engine_retries.inc()
                self._forward(request, hold, address, connection)
                return
        fate = await inference.activator.fate_of(hold.deployment, _REASON_SECONDS)
        if fate and fate.planned and self._given < _ATTEMPTS:
            inference.metrics.engine_retries.inc()
            self._let_go()
            await self._activate(request)
            return
        raise self._failed(hold, error, fate.text if fate else None)

    async def _explain(self, hold: Claim, error: BrokenError) -> None:
        """Tells a client whose answer broke off. Raises EngineFailedError."""
        can_tell = self._exchange.streams_events
        fate = await self._inference.activator.fate_of(hold.deployment, _REASON_SECONDS) if can_tell else None
        raise self._failed(hold, error, fate.text if fate else None)

    def _failed(self, hold: Claim, error: BrokenError, reason: str | None) -> EngineFailedError:
        inference, model = self._inference, hold.deployment.spec.model
        inference.metrics.engine_failures.inc()
        text = f"The engine of {model} broke off its answer: {reason or error}"
        return EngineFailedError(text, alone=reason is not None and self._alone)

    def _let_go(self) -> None:
        hold, self._hold = self._hold, None
        if hold:
            self._inference.activator.release(hold)

    def _done(self, exchange: Exchange) -> None:
        hot = self._inference.metrics.hot
        hot.in_flight -= 1
        hot.response_bytes += exchange.passed_bytes
        hot.answered[self._endpoint.path, exchange.status] += 1
        if self._model:
            self._inference.in_hand.give_back(self._model)
        self._let_go()
        self._request = None


def _address(hold: Claim) -> Address:
    return address_of(hold.deployment.status.endpoint or "")


def _comments(model: str, exchange: Exchange) -> ProgressListener:
    async def comment(text: str) -> None:
        exchange.comment(f"waiting for {model}: {text}")

    return comment


def _request_head(address: Address, path: str, length: int, exchange: Exchange) -> bytes:
    fields = exchange.head.fields
    traces = b""
    if b"traceparent" in fields:  # without which the other says nothing: W3C's Trace Context, section 3.3
        traces = b"".join([b"%b: %b\r\n" % (name, fields[name]) for name in _TRACE_HEADERS if name in fields])
    return (
        b"POST %b%b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b\r\n"
        % (
            address.base_path,
            path.encode(),
            address.host_header,
            length,
            exchange.request_id.encode(),
            traces,
        )
    )
