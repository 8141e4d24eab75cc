"""What an exchange expects of its server, of its client's connection, and of whoever decides about an engine's answer."""

import asyncio
from typing import Any, Protocol

from berth_router.serving.ending import Ending
from berth_router.serving.engine import BrokenError
from berth_router.serving.heads import ResponseHead
from berth_router.serving.limits import Budget, Limits
from berth_router.serving.renaming import Renaming


class Host(Protocol):
    """What an exchange needs of its server."""

    loop: asyncio.AbstractEventLoop
    limits: Limits
    budget: Budget


class ClientSide(Protocol):
    """The client's connection, as an exchange uses it."""

    @property
    def slow(self) -> bool:
        """Whether the client takes its answer more slowly than it comes."""
        ...

    @property
    def closing(self) -> bool:
        """Whether the connection ends after this answer, as its head says then."""
        ...

    def write(self, data: bytes) -> None:
        """Sends these bytes."""
        ...

    def exchange_done(self, exchange: Any, *, whole: bool, reusable: bool) -> None:
        """The exchange is over. `whole`: with all of its answer. `reusable`: another one can follow on the
        connection."""
        ...


class AnswerRules(Protocol):
    """What becomes of an engine's answer on its way, and who decides when there is none."""

    @property
    def renaming(self) -> Renaming | None:
        """How the model is renamed in it."""
        ...

    @property
    def ending(self) -> Ending | None:
        """What is added at its end, where it is a stream of events."""
        ...

    def answered(self, head: ResponseHead) -> None:
        """The engine has begun to answer."""
        ...

    def refusal(self, head: ResponseHead, content: bytes) -> dict[str, Any] | None:
        """What the client is told where the engine refuses; None: the refusal passes as it is."""
        ...

    def broken(self, error: BrokenError, *, stale: bool) -> None:
        """The answer broke off, or never began. `stale`: not one byte of it came, on a connection that had been
        idle."""
        ...
