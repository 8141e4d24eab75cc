"""Ollama's API, where an engine answers: the request is translated, goes the way of all, and its answer comes back so.

While a model starts, the client gets nothing, not even a head: the lines have no comments, and a head says that all is
well. So a refusal has a status of its own, for which clients look.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus

import orjson
import structlog

from berth_api.model_deployment import Backend, ModelDeploymentSpec
from berth_router.engine_answers.collected import CollectedAnswer
from berth_router.errors import APIError, Dialect, InternalError
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.unloader import Unloader
from berth_router.ollama.answer_clock import AnswerClock
from berth_router.ollama.calls import CallTarget, InferenceCall, LoadCall, UnloadCall
from berth_router.ollama.embed import shorter_call
from berth_router.ollama.endpoints import OllamaEndpoint
from berth_router.ollama.errors import model_not_found, no_thinking
from berth_router.ollama.sampling import BEYOND_OPENAI
from berth_router.ollama.stream import AnswerStream
from berth_router.repairs.repair import AnswerRewriter
from berth_router.request.ask import Ask, InferenceRequest, json_object
from berth_router.request.defaults import tokens_left
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.serving.answers import JSON_TYPE
from berth_router.serving.exchange import Exchange
from berth_router.serving.inference import EngineRequest, InferenceContext
from berth_router.store.model_store import ModelStore

_log = structlog.get_logger(__name__)

_ENDPOINTS = {path: replace(endpoint, output_limit=None) for path, endpoint in INFERENCE_PATHS.items()}
"""The engines' paths, but without a limit of tokens where a request states none, as in Ollama's API."""

_MOST_CUTS = 100
"""How often the inputs of one request are cut: clients send up to 64 at once."""

_UNLOAD_SECONDS = 1.0
"""Between two unloads of one model."""


class OllamaUnloads:
    """Unloads models for clients of Ollama's API, as it does: no answer is cut, and no request is refused.

    The promises for the model end, so the operator removes it when the last lease is given back.
    """

    def __init__(self, deployments: Deployments, unloader: Unloader, store: ModelStore) -> None:
        self._deployments = deployments
        self._unloader = unloader
        self._store = store
        self._running: dict[str, asyncio.Task[None]] = {}
        """By the model's path."""
        self._again: dict[str, Ask] = {}

    async def unload(self, ask: Ask, name: str) -> None:
        """Unloads the model; one that does not run is no error. `name`: the client's. Raises APIError."""
        if not self._deployments.of_model(ask.model) and not (await self._store.lookup(ask.model)).exists:
            raise model_not_found(name)
        await self._unloader.end_promises(ask, of_used=True)

    def begin_unload(self, ask: Ask) -> None:
        """Begins to unload the model, unless a request uses it: then that one says how long it stays.

        Each unload writes to the cluster. So there is one a second for a model, whatever clients send.
        """
        model = ask.model
        if model in self._running:
            self._again[model] = ask
            return
        task = self._running[model] = asyncio.create_task(self._unload(ask))
        task.add_done_callback(lambda _: self._ended(model))

    def _ended(self, model: str) -> None:
        del self._running[model]
        if ask := self._again.pop(model, None):
            self.begin_unload(ask)

    async def _unload(self, ask: Ask) -> None:
        try:
            await self._unloader.end_promises(ask, of_used=False)
        except APIError as error:
            _log.warning("model_not_unloaded", model=ask.model, error=error.message)
        except Exception:  # noqa: BLE001 (nobody waits for this task: only the log can show it)
            _log.exception("model_not_unloaded", model=ask.model)
        await asyncio.sleep(_UNLOAD_SECONDS)


@dataclass(frozen=True, slots=True)
class OllamaPath:
    """The Responder of the requests to one path of Ollama's API. `body_limit` is in bytes."""

    context: InferenceContext
    unloads: OllamaUnloads
    endpoint: OllamaEndpoint
    body_limit: int

    @property
    def dialect(self) -> Dialect:
        """The shape of its errors."""
        return Dialect.OLLAMA

    def serve(self, exchange: Exchange, body: bytes) -> None:
        """Answers the request; every failure becomes an answer in the API's shape."""
        clock = AnswerClock(time.monotonic_ns, datetime.now(UTC))
        engine_request = EngineRequest(self.context, self.endpoint.path, exchange)
        try:
            self._begin(engine_request, exchange, body, clock)
        except APIError as error:
            exchange.fail(error)
        except Exception:  # noqa: BLE001 (the last place where a fault can still become an answer)
            _log.exception("request_failed", request_id=exchange.request_id)
            exchange.fail(InternalError(exchange.request_id))

    def _begin(self, engine_request: EngineRequest, exchange: Exchange, body: bytes, clock: AnswerClock) -> None:
        endpoint = self.endpoint
        call = endpoint.call(json_object(body))
        name = call.target.name
        match call:
            case InferenceCall():
                request = self._request(call)
                engine_request.begin(request, _Translation(endpoint, call, clock, self._request))
                if call.unloads:
                    exchange.call_when_done(lambda done: self._unload_after(done, request.ask))
            case LoadCall():
                engine_request.load(self._ask(call.target), lambda: endpoint.without_engine(name, "load", clock))
            case UnloadCall():
                exchange.run(self._unload(exchange, call.target, clock))

    def _request(self, call: InferenceCall) -> "OllamaRequest":
        """The request for an engine. Raises APIError."""
        parsed = self.context.parser.parse(call.content(), _ENDPOINTS[call.path])
        ask = self._with_wishes(parsed.ask, call.target)
        if call.thinks:
            abilities = self.context.parser.abilities_of(ask)
            if abilities and not abilities.thinking:
                raise no_thinking(call.target.name)
        return OllamaRequest(
            ask, parsed.name, parsed.content, parsed.samples, parsed.repairs, stated_limit=parsed.stated_limit
        )

    def _ask(self, target: CallTarget) -> Ask:
        """What a request without a prompt asks of Berth. Raises APIError."""
        ask = self.context.parser.parse_fields(target.fields, _ENDPOINTS[self.endpoint.engine_path])
        return self._with_wishes(ask, target)

    def _with_wishes(self, ask: Ask, target: CallTarget) -> Ask:
        wishes = target.wishes
        return self.context.parser.with_wishes(ask, wishes.context_size, wishes.gpu_layers)

    async def _unload(self, exchange: Exchange, target: CallTarget, clock: AnswerClock) -> None:
        """Unloads the model, with whatever context it was started. Raises APIError."""
        ask = self.context.parser.parse_fields(target.fields, _ENDPOINTS[self.endpoint.engine_path])
        await self.unloads.unload(replace(ask, path=None), target.name)
        exchange.answer(HTTPStatus.OK, JSON_TYPE, self.endpoint.without_engine(target.name, "unload", clock))

    def _unload_after(self, exchange: Exchange, ask: Ask) -> None:
        if exchange.status == HTTPStatus.OK:
            self.unloads.begin_unload(ask)


@dataclass(slots=True)
class OllamaRequest(InferenceRequest):
    """A request that was translated: it may have fields that only some engines know."""

    def body_for(self, spec: ModelDeploymentSpec, name: str, window: int | None = None) -> bytes:
        """The body for the engine of this deployment: see InferenceRequest."""
        body = InferenceRequest.body_for(self, spec, name, window)
        if spec.backend is not Backend.TRANSFORMERS:
            return body
        fields = {field: value for field, value in orjson.loads(body).items() if field not in BEYOND_OPENAI}
        if fields.get("max_tokens", 0) is None:  # Ollama's "no limit"
            fields["max_tokens"] = tokens_left(body, window)
        return orjson.dumps(fields)


class _Translation:
    """The AnswerTranslation of one request."""

    has_comments = False

    def __init__(
        self,
        endpoint: OllamaEndpoint,
        call: InferenceCall,
        clock: AnswerClock,
        make_request: Callable[[InferenceCall], InferenceRequest],
    ) -> None:
        self._endpoint = endpoint
        self._make_request = make_request
        self._cuts_left = _MOST_CUTS
        self._call = call
        self._clock = clock
        self._stream: AnswerStream | None = None

    @property
    def complete(self) -> bool:
        """Whether the client has got the last line, whatever the engine still sends."""
        return self._stream is not None and self._stream.ended

    def client_field(self, field: str | None) -> str | None:
        """The client's name of a field of the engine's request: Ollama's errors are a text alone."""
        return field

    def shortened(self, tokens: int, window: int) -> InferenceRequest | None:
        """The request with a shorter input. None: the client wants it refused, or nothing is left of it."""
        shorter = shorter_call(self._call, tokens, window) if self._call.cuts and self._cuts_left else None
        if shorter is None:
            return None
        self._cuts_left -= 1
        self._call = shorter
        return self._make_request(shorter)

    def sent_to_engine(self) -> AnswerRewriter:
        """What rewrites the answer to a request that an engine gets now, for the first time or again."""
        endpoint, name, clock = self._endpoint, self._call.target.name, self._clock
        clock.sent_to_engine()
        if self._call.streams:
            self._stream = AnswerStream(endpoint.shape, name, clock)
            return self._stream
        return CollectedAnswer(lambda content: endpoint.whole(name, content, clock))
