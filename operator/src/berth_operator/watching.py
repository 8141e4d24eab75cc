"""Keeps asking engines: until they are ready, and for as long as they serve."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import chain, repeat

import structlog

from berth_operator.actions import Engine
from berth_operator.deployments.health import Sight
from berth_operator.deployments.readiness import Prober
from berth_operator.settings import PROBE_TIMEOUT_SECONDS, Timing

_log = structlog.get_logger(__name__)

_PAUSES = ((500, 0.01), (1000, 0.05))
"""Of an engine that starts: (number of questions, seconds after each).

A small model is there within the first five seconds, and callers wait out each pause.
"""

_LAST_PAUSE = 0.25
_START_TIMEOUT_SECONDS = 2
"""Of one question to an engine that starts. Somebody waits for the next one."""

_SILENT_PAUSE = 1.0
"""Between questions to an engine that did not answer the last one: that it does again is to be known soon."""


class EngineWatch:
    """Knows of each deployment's engine when it last answered, and wakes the deployment when that turns."""

    def __init__(
        self, prober: Prober, timing: Timing, wake: Callable[[str], None], clock: Callable[[], datetime]
    ) -> None:
        self._prober = prober
        self._timing = timing
        self._wake = wake
        self._clock = clock
        self._asking: dict[str, tuple[Engine, asyncio.Task[None]]] = {}
        self._sights: dict[str, Sight] = {}

    def sight(self, name: str) -> Sight | None:
        """What is known of the engine of this deployment; None where none is asked."""
        return self._sights.get(name)

    def keep(self, name: str, engine: Engine | None) -> None:
        """Has this engine asked, and no other of the deployment."""
        before = self._asking.get(name)
        if before and before[0] == engine and not before[1].done():
            return
        self.forget(name)
        if engine:
            self._sights[name] = Sight(engine.pod, self._clock())
            self._asking[name] = (
                engine,
                asyncio.create_task(self._keep_asking(name, engine), name=f"ask the engine of {name}"),
            )

    def forget(self, name: str) -> None:
        """Asks no engine of this deployment any more."""
        self._sights.pop(name, None)
        _, task = self._asking.pop(name, (None, None))
        if task:
            task.cancel()

    async def close(self) -> None:
        """Asks nobody any more."""
        tasks = [task for _, task in self._asking.values()]
        for name in list(self._asking):
            self.forget(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_asking(self, name: str, engine: Engine) -> None:
        pauses = chain(chain.from_iterable(repeat(pause, times) for times, pause in _PAUSES), repeat(_LAST_PAUSE))
        while True:
            before = self._sights[name]
            has_answered = before.answered_at is not None
            after = await self._asked(before, engine, PROBE_TIMEOUT_SECONDS if has_answered else _START_TIMEOUT_SECONDS)
            self._sights[name] = after
            if after.answered_at and (not has_answered or (after.silence is None) != (before.silence is None)):
                self._wake(name)
            if after.answered_at is None:
                await asyncio.sleep(next(pauses))
            else:
                await asyncio.sleep(_SILENT_PAUSE if after.silence else self._timing.probe_period)

    async def _asked(self, before: Sight, engine: Engine, seconds: float) -> Sight:
        try:
            words = await self._prober.ask(engine.url, seconds)
        except Exception:  # noqa: BLE001 (a fault here must not leave the engine unwatched)
            _log.exception("engine_not_asked", url=engine.url)
            words = "the operator failed to ask it"
        now = self._clock()
        # Not from the last answer, if that is longer ago than it can be: this process, or the machine, was asleep.
        longest = timedelta(seconds=seconds + self._timing.probe_period)
        return before.without_answer(words, now - longest) if words else before.with_answer(now)
