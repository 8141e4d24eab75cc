"""What an engine is to the launcher."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class EngineProgram(NamedTuple):
    """One engine: how to call it, as a person would.

    `add_options` declares the engine's own options (the launcher declares --model, --port and --alias, which every
    engine has). `command` checks the model and returns the program and its arguments, with the extra arguments that
    followed `--` at the end, where they override the others; it raises `LaunchError`. `environment` returns variables
    that the engine is to have where nobody has set them.
    """

    summary: str
    add_options: Callable[[ArgumentParser], None]
    command: Callable[[Namespace, Sequence[str]], list[str]]
    environment: Callable[[Namespace], Mapping[str, str]] = lambda _: {}


def at_least(minimum: int) -> Callable[[str], int]:
    """An option's type: a whole number of at least `minimum`."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise ValueError
        return value

    whole_number.__name__ = f"whole number of at least {minimum}"  # argparse names the type in its message
    return whole_number


def share(minimum: float) -> Callable[[str], float]:
    """An option's type: a number from `minimum` to 1."""

    def number(text: str) -> float:
        value = float(text)
        if not minimum <= value <= 1:
            raise ValueError
        return value

    number.__name__ = f"number from {minimum} to 1"
    return number
