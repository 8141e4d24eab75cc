"""What an exchange needs of its server, of its client's connection, and of the code that chose its engine."""

import asyncio
from typing import Any, Protocol

from berth_router.errors import APIError
from berth_router.repairs.repair import AnswerRewriter
from berth_router.serving.engine import BrokenAnswerError
from berth_router.serving.limits import ByteBudget, Limits
from berth_router.serving.rewriting import DoneAppender


class ExchangeHost(Protocol):
    """What an exchange needs of its server."""

    loop: asyncio.AbstractEventLoop
    limits: Limits
    body_budget: ByteBudget
    """Room for the bodies of all requests."""


class ClientWriter(Protocol):
    """The client's connection, as an exchange uses it."""

    @property
    def slow(self) -> bool:
        """Whether the client takes its answer more slowly than it comes."""
        ...

    @property
    def closes_after_answer(self) -> bool:
        """Whether the connection ends after the answer that begins now. The answer's head then says so."""
        ...

    def write(self, data: bytes) -> None:
        """Sends these bytes."""
        ...

    def exchange_done(self, exchange: Any, *, whole: bool, reusable: bool) -> None:
        """The exchange is over. `whole`: the client got all of its answer. `reusable`: the connection may go on."""
        ...


class AnswerRules(Protocol):
    """How an engine's answer is changed on its way to the client, and what happens when there is none."""

    @property
    def rewriter(self) -> AnswerRewriter | None:
        """What changes the answer; None where it passes as it is."""
        ...

    @property
    def done_appender(self) -> DoneAppender | None:
        """What completes a stream of events at its end; None where nothing is added."""
        ...

    @property
    def may_be_silent(self) -> bool:
        """Whether the answer is waited for without a limit."""
        ...

    def on_engine_answered(self) -> None:
        """The engine has begun to answer."""
        ...

    def refusal(self, status: int, content: bytes) -> APIError | None:
        """The error that the client gets of an engine's refusal; None where the refusal passes as it is."""
        ...

    def asks_otherwise(self, error: APIError) -> bool:
        """Whether the engine is asked once more, with a request that it may take. `error`: what `refusal` gave."""
        ...

    def on_engine_broken(self, error: BrokenAnswerError, *, stale: bool) -> None:
        """The answer broke off, or never began.

        `stale`: not one byte of it came, and the connection had been idle before. The engine had probably closed it.
        """
        ...
