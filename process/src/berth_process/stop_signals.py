"""The signals that stop a server: the first has it drain, the second has it end at once."""

import asyncio
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class StopEvents:
    """`stop` is set by the first signal, `hurry` by the second."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


@contextmanager
def stop_events(numbers: Sequence[signal.Signals] = STOP_SIGNALS) -> Generator[StopEvents]:
    """While open, these signals set the events. An ignored signal, as under nohup, stays ignored.

    Only the main thread gets signals: in another thread the events are never set.
    """
    events = StopEvents()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        (events.hurry if events.stop.is_set() else events.stop).set()

    handled: list[signal.Signals] = []
    for number in numbers:
        if signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            loop.add_signal_handler(number, on_signal)
        except (RuntimeError, ValueError, NotImplementedError):
            continue  # this is not the main thread
        handled.append(number)
    try:
        yield events
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
