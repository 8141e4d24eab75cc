"""Who answers a request, decided on its head alone: whoever is not let in has no body read."""

from collections.abc import Mapping
from dataclasses import dataclass

from berth_router.auth import ApiKeys, scopes_that_allow
from berth_router.errors import Dialect, MethodNotAllowedError, TooManyRequestsError
from berth_router.serving.exchange import Exchange
from berth_router.serving.incoming import Destination
from berth_router.serving.inference import InferencePath
from berth_router.serving.limits import Share


@dataclass(frozen=True, slots=True)
class _Routed:
    """What requests with one and the same head come to."""

    destination: Destination
    key: str | None
    dialect: Dialect
    keys_read: int
    """How often the keys had been read when that was found out: it holds no longer."""


class _WithoutBody:
    """Passes on what has no body. Of whoever needs no key a body would take room that others need."""

    body_limit = 0

    def __init__(self, destination: Destination) -> None:
        self.serve = destination.serve


class Dispatcher:
    """Inference paths go to engines, everything else to the management API."""

    def __init__(
        self,
        inference: Mapping[str, InferencePath],
        management: Destination,
        keys: ApiKeys | None,
        requests_per_key: int,
    ) -> None:
        self._inference = inference
        self._management = management
        self._open = _WithoutBody(management)
        self._keys = keys
        self._in_hand = Share(requests_per_key)

    def route(self, exchange: Exchange) -> Destination:
        """The request's destination. Raises APIError."""
        head = exchange.head
        keys_read = self._keys.times_read if self._keys else 0
        known = head.routed
        if not isinstance(known, _Routed) or known.keys_read != keys_read:
            known = head.routed = self._find(exchange, keys_read)
        exchange.dialect = known.dialect
        if known.key is not None:
            exchange.key = known.key
            self._count(exchange, known.key)
        return known.destination

    def _find(self, exchange: Exchange, keys_read: int) -> "_Routed":
        """Where requests with this head go, and with whose key. Raises APIError."""
        head = exchange.head
        path = self._inference.get(head.path)
        if path:
            exchange.dialect = path.endpoint.dialect  # of the refusals to come
        key = None
        if self._keys:
            needed = scopes_that_allow(head.path, self._inference)
            if needed is None:
                return _Routed(self._open, None, exchange.dialect, keys_read)
            key = self._keys.check(head.headers, needed)
        if path and head.method != "POST":
            raise MethodNotAllowedError(head.method, path.endpoint.path, "POST")
        return _Routed(path or self._management, key, exchange.dialect, keys_read)

    def _count(self, exchange: Exchange, key: str) -> None:
        if not self._in_hand.take(key):
            raise TooManyRequestsError(
                f"{self._in_hand.most} requests with the key {key!r} are in hand, which is as many as this router takes at once.",
                code="too_many_requests",
            )
        exchange.when_done(self._counted)

    def _counted(self, exchange: Exchange) -> None:
        if exchange.key:
            self._in_hand.give_back(exchange.key)
