"""The Responses API: the request becomes a chat completion's, goes the way of all, and its answer comes back so."""

import secrets
import time
from dataclasses import dataclass

import structlog

from berth_api.inference import CHAT_COMPLETIONS, CHAT_INPUT_TOKENS, RESPONSES, RESPONSES_INPUT_TOKENS
from berth_router.engine_answers.collected import CollectedAnswer
from berth_router.errors import APIError, Dialect, InternalError
from berth_router.repairs.repair import AnswerRewriter
from berth_router.request.ask import json_object
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.responses.fields import asked_as
from berth_router.responses.items import Answered
from berth_router.responses.request import read_request
from berth_router.responses.stream import ResponseStream
from berth_router.responses.whole import whole_response
from berth_router.serving.exchange import Exchange
from berth_router.serving.inference import EngineRequest, InferenceContext

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ResponsesPath:
    """The Responder of `/v1/responses`. `body_limit` is in bytes."""

    context: InferenceContext
    body_limit: int

    @property
    def dialect(self) -> Dialect:
        """The shape of its errors."""
        return Dialect.OPENAI

    def serve(self, exchange: Exchange, body: bytes) -> None:
        """Answers the request; every failure becomes an answer in the API's shape."""
        engine_request = EngineRequest(self.context, RESPONSES, exchange)
        try:
            self._begin(engine_request, exchange, body)
        except APIError as error:
            error.param = asked_as(error.param)
            exchange.fail(error)
        except Exception:  # noqa: BLE001 (the last place where a fault can still become an answer)
            _log.exception("request_failed", request_id=exchange.request_id)
            exchange.fail(InternalError(exchange.request_id))

    def _begin(self, engine_request: EngineRequest, exchange: Exchange, body: bytes) -> None:
        """Forwards the request. Raises APIError."""
        fields = json_object(body)
        INFERENCE_PATHS[RESPONSES].check_prompt(fields)
        call = read_request(fields)
        request = self.context.parser.parse(call.content(), INFERENCE_PATHS[CHAT_COMPLETIONS])
        answered = Answered(call, secrets.token_hex(16), int(time.time()))
        translation = _ResponseTranslation(answered)
        if call.streams:
            exchange.failure_event = translation.stream.failure
        engine_request.begin(request, translation)


@dataclass(frozen=True, slots=True)
class InputTokensPath:
    """The Responder of `/v1/responses/input_tokens`. `body_limit` is in bytes."""

    context: InferenceContext
    body_limit: int

    @property
    def dialect(self) -> Dialect:
        """The shape of its errors."""
        return Dialect.OPENAI

    def serve(self, exchange: Exchange, body: bytes) -> None:
        """Answers the request; every failure becomes an answer in the API's shape."""
        engine_request = EngineRequest(self.context, RESPONSES_INPUT_TOKENS, exchange)
        try:
            fields = json_object(body)
            INFERENCE_PATHS[RESPONSES_INPUT_TOKENS].check_prompt(fields)
            call = read_request({**fields, "stream": False})
            engine_request.begin(self.context.parser.parse(call.content(), INFERENCE_PATHS[CHAT_INPUT_TOKENS]))
        except APIError as error:
            error.param = asked_as(error.param)
            exchange.fail(error)
        except Exception:  # noqa: BLE001 (the last place where a fault can still become an answer)
            _log.exception("request_failed", request_id=exchange.request_id)
            exchange.fail(InternalError(exchange.request_id))


class _ResponseTranslation:
    """The AnswerTranslation of one request."""

    has_comments = True

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self.stream = ResponseStream(answered)
        """The answer, where it is a stream. An engine that gets the request again has sent nothing of it before."""

    @property
    def complete(self) -> bool:
        """Whether the client has got the last of its answer, whatever the engine still sends."""
        return self.stream.ended

    def client_field(self, field: str | None) -> str | None:
        """The client's name of a field of the engine's request."""
        return asked_as(field)

    def shortened(self, tokens: int, window: int) -> None:
        """None: the API refuses what is too long."""

    def sent_to_engine(self) -> AnswerRewriter:
        """What rewrites the answer to a request that an engine gets now, for the first time or again."""
        if self._answered.call.streams:
            return self.stream
        return CollectedAnswer(lambda content: whole_response(self._answered, content))
