"""Requests to models: which engine gets each, and what happens when the engine is not there, or breaks.

A request whose model is ready goes on without a task: from the call in which its last byte came, into an idle
connection of its engine. Only a request that has to wait gets a task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from berth_api.inference import name_in_engine
from berth_api.model_deployment import ModelDeployment, ModelDeploymentSpec
from berth_router.errors import (
    APIError,
    Dialect,
    EngineFailedError,
    InternalError,
    ServiceUnavailableError,
    TooManyRequestsError,
)
from berth_router.lifecycle.activator import Activator, ProgressListener
from berth_router.lifecycle.lease_keeper import Claim
from berth_router.metrics import Metrics
from berth_router.repairs.repair import AnswerRewriter
from berth_router.request.ask import Ask, InferenceRequest, RequestParser
from berth_router.request.endpoints import Endpoint
from berth_router.serving.answers import JSON_TYPE
from berth_router.serving.engine import BrokenAnswerError, EngineConnection
from berth_router.serving.exchange import Exchange
from berth_router.serving.limits import ConcurrencyLimit
from berth_router.serving.pool import EngineAddress, EngineConnectError, EnginePool, engine_address
from berth_router.serving.refusals import EngineRefusalError, engine_refusal
from berth_router.serving.rewriter_choice import AnswerTranslation, rewriter_if_needed, translating_rewriter
from berth_router.serving.rewriting import DoneAppender

_log = structlog.get_logger(__name__)

_MAX_ENGINES = 5
"""How often the router chooses an engine for one request, where engines refuse connections or somebody deletes their
pods."""

_CHANGE_SECONDS = 2.0
"""How long a request waits for a change of an engine that refuses connections: not ready any more, or back."""

_REASON_SECONDS = 3.0
"""How long a client whose answer broke waits for the reason. The operator mostly finds it within a second."""

_TRACE_HEADERS = (b"traceparent", b"tracestate")


EngineKey = Callable[[ModelDeployment], str | None]
"""The key that the engine of a deployment asks for; None: it asks for none."""


def no_key(_: ModelDeployment) -> str | None:
    """No engine asks for a key, as in a cluster without any, where networks are kept apart by other means."""
    return None


@dataclass(frozen=True, slots=True)
class InferenceContext:
    """What all inference requests share."""

    activator: Activator
    pool: EnginePool
    metrics: Metrics
    parser: RequestParser
    engine_store: str
    """Where engines have the model store."""
    in_hand: ConcurrencyLimit
    """Requests in hand, by model."""
    engine_key: EngineKey = no_key
    made_for: Callable[[str], int | None] = lambda _: None
    """The tokens of context that the model at a path was made for; None: that is not known."""

    def address(self, claim: Claim) -> EngineAddress:
        """Where the claimed engine listens."""
        deployment = claim.deployment
        return engine_address(deployment.status.endpoint or "", self.engine_key(deployment))


@dataclass(frozen=True, slots=True)
class InferencePath:
    """Answers the requests to one inference path. `body_limit` is in bytes."""

    context: InferenceContext
    endpoint: Endpoint
    body_limit: int

    @property
    def dialect(self) -> Dialect:
        """The shape of its errors."""
        return self.endpoint.dialect

    def serve(self, exchange: Exchange, body: bytes) -> None:
        """Answers the request; every failure becomes an answer in the API's shape."""
        call = EngineRequest(self.context, self.endpoint.path, exchange)
        try:
            call.begin(self.context.parser.parse(body, self.endpoint))
        except APIError as error:
            exchange.fail(error)
        except Exception:  # noqa: BLE001 (the last place where a fault can still become an answer)
            _log.exception("request_failed", request_id=exchange.request_id)
            exchange.fail(InternalError(exchange.request_id))


class EngineRequest:
    """One request on its way to an engine that answers it. It is the AnswerRules of the request's exchange."""

    __slots__ = (
        "_claim",
        "_context",
        "_deadline",
        "_engines_chosen",
        "_exchange",
        "_model",
        "_only_request",
        "_path",
        "_request",
        "_resent",
        "_translation",
        "done_appender",
        "rewriter",
    )

    def __init__(self, context: InferenceContext, path: str, exchange: Exchange) -> None:
        """`path`: the client's, under which the metrics count the request."""
        self._context = context
        self._path = path
        self._exchange = exchange
        self._translation: AnswerTranslation | None = None
        self._request: InferenceRequest | None = None
        """The request, until an engine has begun to answer it."""
        self._model: str | None = None
        """The model for which `in_hand` counts the request."""
        self._claim: Claim | None = None
        self._deadline = 0.0
        self._engines_chosen = 0
        """How often an engine was chosen."""
        self._resent = False
        self._only_request = False
        """Whether no other request for the model was in hand when the engine broke off."""
        self.rewriter: AnswerRewriter | None = None
        self.done_appender: DoneAppender | None = None
        context.metrics.hot.in_flight += 1
        exchange.call_when_done(self._on_done)

    def begin(self, request: InferenceRequest, translation: AnswerTranslation | None = None) -> None:
        """Forwards the request at once if its model is ready; else a task waits for the model. Raises APIError.

        `translation`: None where the client speaks the engine's API.
        """
        context = self._context
        self._request, self._translation = request, translation
        self._count(request.ask)
        claim = self._claim = context.activator.claim_ready(request.ask, request.tokens)
        if claim is None:
            self._exchange.run(self._wait_and_forward(request))
            return
        self._engines_chosen = 1
        address = context.address(claim)
        connection = context.pool.take_idle(address)
        if connection is None:
            self._exchange.run(self._connect_and_forward(request, claim))
        else:
            self._forward(request, claim, address, connection)

    def load(self, ask: Ask, answer: Callable[[], bytes]) -> None:
        """Answers, as JSON, once the model is ready; it stays for the request's TTL. Raises APIError.

        The request is queued as one for an engine is.
        """
        self._count(ask)
        self._exchange.run(self._load(ask, answer))

    async def _load(self, ask: Ask, answer: Callable[[], bytes]) -> None:
        activator = self._context.activator
        ask = await self._known(ask)
        activator.release(await activator.activate(ask, activator.deadline()))
        self._exchange.answer(HTTPStatus.OK, JSON_TYPE, answer())

    def _count(self, ask: Ask) -> None:
        """Counts the request for its model, and no more for another. Raises TooManyRequestsError."""
        in_hand, model = self._context.in_hand, ask.model
        if not in_hand.try_acquire(model):
            raise _too_many(in_hand, model)
        if self._model:
            in_hand.release(self._model)
        self._model = model

    async def _known(self, ask: Ask) -> Ask:
        """The request, or the one for the default model where there is no such model. Raises APIError."""
        if ask.otherwise is None:
            return ask
        known = await self._context.activator.known(ask)
        if known is not ask:
            self._count(known)
        return known

    # -- AnswerRules

    may_be_silent = False

    def on_engine_answered(self) -> None:
        """Forgets the request: from here on it is never sent again."""
        self._request = None
        self._exchange.release_body()

    def refusal(self, status: int, content: bytes) -> APIError:
        """The engine's refusal as an error of the API."""
        claim = self._claim
        if claim is None:
            return EngineRefusalError(f"The engine answered with status {status}.", status, {}, None)
        spec, made_for = claim.deployment.spec, self._context.made_for
        refused = engine_refusal(spec.backend, self._path, status, content, lambda: made_for(spec.model))
        return self._as_asked(refused)

    def asks_otherwise(self, error: APIError) -> bool:
        """Sends a shorter request, where the prompt was too long and the client's API has it cut."""
        claim, excess = self._claim, error.excess if isinstance(error, EngineRefusalError) else None
        if claim is None or excess is None or self._translation is None:
            return False
        shorter = self._translation.shortened(*excess)
        if shorter is None:
            return False
        self._request = shorter
        self._exchange.run(self._connect_and_forward(shorter, claim))
        return True

    def _as_asked(self, error: APIError) -> APIError:
        """The error of a field, under the name that the client knows."""
        if self._translation:
            error.param = self._translation.client_field(error.param)
        return error

    def on_engine_broken(self, error: BrokenAnswerError, *, stale: bool) -> None:
        """Sends the request to another engine, or reports to the client why its answer broke off."""
        request, claim = self._request, self._claim
        if claim is None:
            return
        if self._translation and self._translation.complete:
            self._exchange.finish()
            return
        self._only_request = self._context.in_hand.count(claim.deployment.spec.model) == 1
        self._log_engine("engine_broke_off", claim, error)
        if request:
            self._exchange.run(self._resend_or_fail(request, claim, error, stale=stale))
        else:
            self._exchange.run(self._fail_with_reason(claim, error))

    # -- the way to an engine

    async def _wait_and_forward(self, request: InferenceRequest) -> None:
        """Waits for an engine and forwards the request to it. Raises APIError."""
        activator = self._context.activator
        self._deadline = self._deadline or activator.deadline()
        request.ask = await self._known(request.ask)
        has_comments = request.ask.stream and (self._translation is None or self._translation.has_comments)
        progress = _comments(request.ask.model, self._exchange) if has_comments else None
        while self._engines_chosen < _MAX_ENGINES:
            claim = await activator.activate(
                request.ask, self._deadline, progress, again=self._engines_chosen > 0, tokens=request.tokens
            )
            if self._exchange.done:  # its client left at the moment at which the model became ready
                activator.release(claim)
                return
            self._claim = claim
            self._engines_chosen += 1
            if await self._forward_if_reachable(request, claim):
                return
        raise ServiceUnavailableError(
            f"The engine of {request.ask.model} cannot be reached.", code="engine_unreachable", retry_after=2
        )

    async def _connect_and_forward(self, request: InferenceRequest, claim: Claim) -> None:
        if not await self._forward_if_reachable(request, claim):
            await self._wait_and_forward(request)

    async def _forward_if_reachable(self, request: InferenceRequest, claim: Claim) -> bool:
        """Forwards the request to the claimed engine. False if no connection came about, so that nothing was sent."""
        context = self._context
        address = context.address(claim)
        try:
            connection = context.pool.take_idle(address) or await context.pool.connect(address)
        except EngineConnectError as error:
            self._log_engine("engine_unreachable", claim, error)
            context.metrics.engine_retries.inc()
            await context.activator.await_change(claim.deployment, _CHANGE_SECONDS)
            self._release_claim()
            return False
        self._forward(request, claim, address, connection)
        return True

    def _forward(
        self, request: InferenceRequest, claim: Claim, address: EngineAddress, connection: EngineConnection
    ) -> None:
        spec = claim.deployment.spec
        pool = self._context.pool
        name = name_in_engine(spec, self._context.engine_store)
        path = request.ask.path or self._path
        try:
            body = request.body_for(spec, name, claim.deployment.status.context_size)
            self.rewriter = self._answer_rewriter(request, spec, path, name)
            if request.ask.stream and self._translation is None:
                self.done_appender = DoneAppender.if_needed(spec.backend, path)
        except APIError as error:
            pool.release(address, connection)
            raise self._as_asked(error) from None
        except Exception:
            pool.release(address, connection)
            raise
        head = _request_head(address, path, len(body), self._exchange)
        try:
            self._exchange.forward(connection, head + body, self, lambda used: pool.release(address, used))
        except BrokenAnswerError as error:  # the engine has closed the connection since it was taken
            self.on_engine_broken(error, stale=True)

    def _answer_rewriter(
        self, request: InferenceRequest, spec: ModelDeploymentSpec, path: str, name: str
    ) -> AnswerRewriter | None:
        request_id = self._exchange.request_id
        if self._translation:
            return translating_rewriter(request, spec.backend, path, request_id, self._translation)
        return rewriter_if_needed(request, spec.backend, path, request_id, name)

    async def _resend_or_fail(
        self, request: InferenceRequest, claim: Claim, error: BrokenAnswerError, *, stale: bool
    ) -> None:
        """Sends the request again if that can do no harm; nothing of its answer has come. Raises APIError.

        A request that killed its engine must not kill the next one. So the router sends a request again only if the
        engine had closed an idle connection and still accepts new ones, or if somebody deleted the engine's pod.
        """
        context = self._context
        if stale and not self._resent:
            self._resent = True
            address = context.address(claim)
            try:
                connection = await context.pool.connect(address)
            except EngineConnectError:
                pass
            else:
                context.metrics.engine_retries.inc()
                self._forward(request, claim, address, connection)
                return
        fate = await context.activator.fate_of(claim.deployment, _REASON_SECONDS)
        if fate and fate.planned and self._engines_chosen < _MAX_ENGINES:
            context.metrics.engine_retries.inc()
            self._release_claim()
            await self._wait_and_forward(request)
            return
        raise self._engine_failed(claim, error, fate.text if fate else None)

    async def _fail_with_reason(self, claim: Claim, error: BrokenAnswerError) -> None:
        """Ends an answer that broke off. Raises EngineFailedError, with the reason where the client can get it."""
        can_report = self._exchange.streams_events
        fate = await self._context.activator.fate_of(claim.deployment, _REASON_SECONDS) if can_report else None
        raise self._engine_failed(claim, error, fate.text if fate else None)

    def _engine_failed(self, claim: Claim, error: BrokenAnswerError, reason: str | None) -> EngineFailedError:
        self._context.metrics.engine_failures.inc()
        text = f"The engine of {claim.deployment.spec.model} broke off its answer: {reason or error}"
        return EngineFailedError(text, only_request=reason is not None and self._only_request)

    def _log_engine(self, event: str, claim: Claim, error: Exception) -> None:
        _log.warning(event, deployment=claim.deployment.name, error=str(error), request_id=self._exchange.request_id)

    def _release_claim(self) -> None:
        claim, self._claim = self._claim, None
        if claim:
            self._context.activator.release(claim)

    def _on_done(self, exchange: Exchange) -> None:
        hot = self._context.metrics.hot
        hot.in_flight -= 1
        hot.response_bytes += exchange.answer_bytes
        hot.answered[self._path, exchange.status] += 1
        if self._model:
            self._context.in_hand.release(self._model)
        self._release_claim()
        self._request = None


def _too_many(in_hand: ConcurrencyLimit, model: str) -> TooManyRequestsError:
    return TooManyRequestsError(
        f"{in_hand.limit} requests for {model} are in hand, which is as many as this router takes at once.",
        code="too_many_requests",
    )


def _comments(model: str, exchange: Exchange) -> ProgressListener:
    async def comment(text: str) -> None:
        exchange.comment(f"waiting for {model}: {text}")

    return comment


def _request_head(address: EngineAddress, path: str, length: int, exchange: Exchange) -> bytes:
    fields = exchange.head.fields
    traces = b""
    if b"traceparent" in fields:  # tracestate says nothing without it: W3C's Trace Context, section 3.3
        traces = b"".join([b"%b: %b\r\n" % (name, fields[name]) for name in _TRACE_HEADERS if name in fields])
    return (
        b"POST %b%b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
        b"x-request-id: %b\r\n%b%b\r\n"
        % (
            address.base_path,
            path.encode(),
            address.host_header,
            length,
            exchange.request_id.encode(),
            address.authorization,
            traces,
        )
    )
