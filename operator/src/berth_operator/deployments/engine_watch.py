"""Probes engines again and again: until they are ready, and for as long as they serve."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import chain, repeat

import structlog

from berth_operator.deployments.actions import ProbeTarget
from berth_operator.deployments.health import ProbeHistory
from berth_operator.deployments.readiness import Prober
from berth_operator.settings import PROBE_TIMEOUT_SECONDS, Timing
from berth_process.clock import Clock

_log = structlog.get_logger(__name__)

_PAUSES = ((500, 0.01), (1000, 0.05))
"""For an engine that starts: (number of probes, seconds after each).

A small model is ready within the first five seconds, and a caller waits for the rest of each pause.
"""

_LAST_PAUSE = 0.25
_START_TIMEOUT_SECONDS = 2
"""Timeout of one probe of an engine that starts: a caller waits for the next probe."""

_CONTEXT_SECONDS = 1.0
"""What an engine that has just answered gets to say its context: a caller waits. It is asked again with each probe."""

_SILENT_PAUSE = 1.0
"""Seconds between probes of an engine that did not answer the last one: it may answer again at any moment."""


class EngineWatch:
    """Keeps the probe history of each deployment's engine, and wakes the deployment when the answers begin or end."""

    def __init__(self, prober: Prober, timing: Timing, wake: Callable[[str], None], clock: Clock) -> None:
        self._prober = prober
        self._timing = timing
        self._wake = wake
        self._clock = clock
        self._probing: dict[str, tuple[ProbeTarget, asyncio.Task[None]]] = {}
        self._histories: dict[str, ProbeHistory] = {}

    def history(self, name: str) -> ProbeHistory | None:
        """What the probes of this deployment's engine have found; None where no engine is probed."""
        return self._histories.get(name)

    def probe(self, name: str, target: ProbeTarget | None) -> None:
        """From now on, probes this engine of the deployment, and no other one."""
        before = self._probing.get(name)
        if before and before[0] == target and not before[1].done():
            return
        self.forget(name)
        if target:
            self._histories[name] = ProbeHistory(target.pod, self._clock())
            task = asyncio.create_task(self._keep_probing(name, target), name=f"probe the engine of {name}")
            self._probing[name] = (target, task)

    def forget(self, name: str) -> None:
        """Probes no engine of this deployment any more."""
        self._histories.pop(name, None)
        _, task = self._probing.pop(name, (None, None))
        if task:
            task.cancel()

    async def close(self) -> None:
        """Ends all probes."""
        tasks = [task for _, task in self._probing.values()]
        for name in list(self._probing):
            self.forget(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_probing(self, name: str, target: ProbeTarget) -> None:
        pauses = chain(chain.from_iterable(repeat(pause, times) for times, pause in _PAUSES), repeat(_LAST_PAUSE))
        while True:
            before = self._histories[name]
            has_answered = before.answered_at is not None
            timeout = PROBE_TIMEOUT_SECONDS if has_answered else _START_TIMEOUT_SECONDS
            after = await self._probed(before, target, timeout)
            self._histories[name] = after
            if after.answered_at and (
                not has_answered
                or (after.silence is None) != (before.silence is None)
                or after.context != before.context
            ):
                self._wake(name)
            if after.answered_at is None:
                await asyncio.sleep(next(pauses))
            else:
                await asyncio.sleep(_SILENT_PAUSE if after.silence else self._timing.probe_period)

    async def _probed(self, before: ProbeHistory, target: ProbeTarget, timeout_seconds: float) -> ProbeHistory:
        try:
            fault = await self._prober.ask(target.url, timeout_seconds)
            if fault is None and target.models_url and before.context is None:
                context = await self._prober.context(target.models_url, _CONTEXT_SECONDS, target.owner)
                before = replace(before, context=context)
        except Exception:  # noqa: BLE001 (a fault here must not leave the engine unwatched)
            _log.exception("engine_not_asked", url=target.url)
            fault = "the operator failed to ask it"
        now = self._clock()
        # Where the last answer is longer ago than a probe takes, this process, or the machine, was asleep meanwhile.
        longest = timedelta(seconds=timeout_seconds + self._timing.probe_period)
        return before.without_answer(fault, now - longest) if fault else before.with_answer(now)
