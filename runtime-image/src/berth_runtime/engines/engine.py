"""What an engine is to the launcher."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

ENGINE_KEY = "BERTH_ENGINE_KEY"
"""The variable with the key that the engine shall ask for. Unset: it answers everybody."""


class EngineProgram(NamedTuple):
    """The program of one engine, and how to call it.

    `add_options` declares the engine's own options; the launcher declares --model, --port and --alias, which every
    engine has. `command` checks the model and returns the program and its arguments. What followed `--` comes last,
    where it overrides the rest. It raises `LaunchError`. `environment` returns the variables that the engine gets,
    unless somebody has set them. `key_variable`: where its server looks for the key that it then asks for at every
    path but its health; None: it has no such key, and `guard.py` asks for it.
    """

    summary: str
    add_options: Callable[[ArgumentParser], None]
    command: Callable[[Namespace, Sequence[str]], list[str]]
    environment: Callable[[Namespace], Mapping[str, str]] = lambda _: {}
    key_variable: str | None = None


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
