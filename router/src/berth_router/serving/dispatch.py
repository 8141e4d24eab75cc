"""Who answers a request, decided on its head alone: the router reads no body of a client that may not ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from berth_router.auth import ApiKeys, scopes_that_allow
from berth_router.errors import ANTHROPIC_VERSION, OLLAMA_PATHS, Dialect, MethodNotAllowedError, TooManyRequestsError
from berth_router.serving.exchange import Exchange
from berth_router.serving.incoming import Responder
from berth_router.serving.limits import ConcurrencyLimit
from berth_router.serving.origins import OriginPolicy
from berth_router.serving.unpacking import unpacking

_ANTHROPIC_VERSION = ANTHROPIC_VERSION.encode()


@dataclass(frozen=True, slots=True)
class _Route:
    """Where all requests with the same head go."""

    responder: Responder
    key: str | None
    dialect: Dialect
    answer_lines: bytes
    """Header lines that every answer has, for a browser."""
    keys_read: int
    """`ApiKeys.times_read` when the route was found. The route holds until the keys are read again."""


class InferenceResponder(Responder, Protocol):
    """Answers the requests of one inference path."""

    @property
    def dialect(self) -> Dialect:
        """The shape of its errors."""
        ...


class _WithoutBody:
    """Accepts only requests without a body: a client without a key must not take room that others need."""

    body_limit = 0

    def __init__(self, responder: Responder) -> None:
        self.serve = responder.serve


class _Preflight:
    """Answers a browser that asks whether a page may ask."""

    body_limit = 0

    def __init__(self, lines: bytes) -> None:
        self._lines = lines

    def serve(self, exchange: Exchange, body: bytes) -> None:
        exchange.answer(204, self._lines, b"")


class Dispatcher:
    """Sends requests to inference paths to engines, and all others to the management API."""

    def __init__(
        self,
        inference: Mapping[str, InferenceResponder],
        management: Responder,
        keys: ApiKeys | None,
        requests_per_key: int,
        origins: OriginPolicy,
    ) -> None:
        self._inference = inference
        self._management = management
        self._keyless = _WithoutBody(management)
        self._keys = keys
        self._origins = origins
        self._in_hand = ConcurrencyLimit(requests_per_key)

    def dispatch(self, exchange: Exchange) -> Responder:
        """Who answers the request. Counts it for its key. Raises APIError."""
        head = exchange.head
        keys_read = self._keys.times_read if self._keys else 0
        route = head.route
        if not isinstance(route, _Route) or route.keys_read != keys_read:
            route = head.route = self._find(exchange, keys_read)
        exchange.dialect = route.dialect
        exchange.answer_lines = route.answer_lines
        if route.key is not None:
            exchange.key = route.key
            self._count_for_key(exchange, route.key)
        return route.responder

    def _find(self, exchange: Exchange, keys_read: int) -> _Route:
        """Where requests with this head go. Raises APIError where the key, or the page that asks, does not allow it."""
        head = exchange.head
        preflight = self._origins.preflight_lines(head)
        if preflight is not None:
            return _Route(_Preflight(preflight), None, exchange.dialect, b"", keys_read)
        path = self._inference.get(head.path)
        if path:
            exchange.dialect = path.dialect  # for the errors below
        elif head.path.startswith(OLLAMA_PATHS):
            exchange.dialect = Dialect.OLLAMA
        elif _ANTHROPIC_VERSION in head.fields:
            exchange.dialect = Dialect.ANTHROPIC
        lines = exchange.answer_lines = self._origins.answer_lines(head, has_keys=self._keys is not None)
        key = None
        if self._keys:
            needed = scopes_that_allow(head.method, head.path, self._inference)
            if needed is None:
                return _Route(self._keyless, None, exchange.dialect, lines, keys_read)
            key = self._keys.check(head.headers, needed)
        if path and head.method != "POST":
            raise MethodNotAllowedError(head.method, head.path, "POST")
        return _Route(unpacking(head, path or self._management), key, exchange.dialect, lines, keys_read)

    def _count_for_key(self, exchange: Exchange, key: str) -> None:
        if not self._in_hand.try_acquire(key):
            raise TooManyRequestsError(
                f"{self._in_hand.limit} requests with the key {key!r} are in hand,"
                " which is as many as this router takes at once.",
                code="too_many_requests",
            )
        exchange.call_when_done(self._release_key)

    def _release_key(self, exchange: Exchange) -> None:
        if exchange.key:
            self._in_hand.release(exchange.key)
