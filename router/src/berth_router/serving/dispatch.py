"""Who answers a request, decided on its head alone: whoever is not let in has no body read."""

from collections.abc import Mapping

from berth_router.auth import ApiKeys, scopes_that_allow
from berth_router.errors import MethodNotAllowedError, TooManyRequestsError
from berth_router.serving.exchange import Exchange
from berth_router.serving.incoming import Destination
from berth_router.serving.inference import InferencePath
from berth_router.serving.limits import Share


class _WithoutBody:
    """Passes on what has no body. Of whoever needs no key a body would take room that others need."""

    body_limit = 0

    def __init__(self, destination: Destination) -> None:
        self.serve = destination.serve


class Dispatcher:
    """Inference paths go to engines, everything else to the management API."""

    def __init__(
        self, inference: Mapping[str, InferencePath], management: Destination, keys: ApiKeys | None, requests_per_key: int
    ) -> None:
        self._inference = inference
        self._management = management
        self._open = _WithoutBody(management)
        self._keys = keys
        self._in_hand = Share(requests_per_key)

    def route(self, exchange: Exchange) -> Destination:
        """The request's destination. Raises APIError."""
        head = exchange.head
        path = self._inference.get(head.path)
        if path:
            exchange.dialect = path.endpoint.dialect
        if self._keys:
            needed = scopes_that_allow(head.path, self._inference)
            if needed is None:
                return self._open
            exchange.key = self._keys.check(head.headers, needed)
            self._count(exchange, exchange.key)
        if path is None:
            return self._management
        if head.method != "POST":
            raise MethodNotAllowedError(head.method, path.endpoint.path, "POST")
        return path

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
