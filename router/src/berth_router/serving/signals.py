"""The signals that end a server: the first has it drain, the second has it hurry."""

import asyncio
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Ending:
    """Two events: set when the process is told to end, and when it is told once more."""

    told: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


@contextmanager
def ending_signals(numbers: Sequence[signal.Signals] = ENDING) -> Generator[Ending]:
    """Hears these signals while it is open, where this thread is the one that can. One that is ignored, as by nohup,
    stays so."""
    ending = Ending()
    loop = asyncio.get_running_loop()

    def hear() -> None:
        (ending.hurry if ending.told.is_set() else ending.told).set()

    heard: list[signal.Signals] = []
    for number in numbers:
        if signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            loop.add_signal_handler(number, hear)
        except (RuntimeError, ValueError, NotImplementedError):
            continue  # another thread than the main one
        heard.append(number)
    try:
        yield ending
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
