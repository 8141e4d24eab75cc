"""Who answers a request, decided on its head alone: the router reads no body of a client that may not ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from berth_router.auth import ApiKeys, scopes_that_allow
from berth_router.errors import OLLAMA_PATHS, Dialect, MethodNotAllowedError, TooManyRequestsError
from berth_router.serving.exchange import Exchange
from berth_router.serving.incoming import Destination
from berth_router.serving.limits import ConcurrencyLimit


@dataclass(frozen=True, slots=True)
class _Route:
    """Where all requests with the same head go."""

    destination: Destination
    key: str | None
    dialect: Dialect
    keys_read: int
    """`ApiKeys.times_read` when the route was found. The route holds until the keys are read again."""


class InferenceDestination(Destination, Protocol):
    """Answers the requests of one inference path."""

    @property
    def dialect(self) -> Dialect:
        """The shape of its errors."""
        ...


class _WithoutBody:
    """Accepts only requests without a body: a client without a key must not take room that others need."""

    body_limit = 0

    def __init__(self, destination: Destination) -> None:
        self.serve = destination.serve


class Dispatcher:
    """Sends requests to inference paths to engines, and all others to the management API."""

    def __init__(
        self,
        inference: Mapping[str, InferenceDestination],
        management: Destination,
        keys: ApiKeys | None,
        requests_per_key: int,
    ) -> None:
        self._inference = inference
        self._management = management
        self._keyless = _WithoutBody(management)
        self._keys = keys
        self._in_hand = ConcurrencyLimit(requests_per_key)

    def dispatch(self, exchange: Exchange) -> Destination:
        """Who answers the request. Counts it for its key. Raises APIError."""
        head = exchange.head
        keys_read = self._keys.times_read if self._keys else 0
        route = head.route
        if not isinstance(route, _Route) or route.keys_read != keys_read:
            route = head.route = self._find(exchange, keys_read)
        exchange.dialect = route.dialect
        if route.key is not None:
            exchange.key = route.key
            self._count_for_key(exchange, route.key)
        return route.destination

    def _find(self, exchange: Exchange, keys_read: int) -> _Route:
        """Where requests with this head go. Raises APIError where the key does not allow them."""
        head = exchange.head
        path = self._inference.get(head.path)
        if path:
            exchange.dialect = path.dialect  # for the errors below
        elif head.path.startswith(OLLAMA_PATHS):
            exchange.dialect = Dialect.OLLAMA
        key = None
        if self._keys:
            needed = scopes_that_allow(head.path, self._inference)
            if needed is None:
                return _Route(self._keyless, None, exchange.dialect, keys_read)
            key = self._keys.check(head.headers, needed)
        if path and head.method != "POST":
            raise MethodNotAllowedError(head.method, head.path, "POST")
        return _Route(path or self._management, key, exchange.dialect, keys_read)

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
