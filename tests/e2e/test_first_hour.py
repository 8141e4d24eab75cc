"""docs/first-hour.md is what a newcomer sees: a fresh clone, an empty home, its commands, and what they print."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.first_hour import PAGE, typed
from tests.e2e.test_local_command import environment, sample, uv_cache
from tests.e2e.test_local_install import checkout

__all__ = ["checkout", "environment", "sample", "uv_cache"]

BLOCK = re.compile(r"^```\n\$ (?P<command>.*?)\n(?P<printed>.*?)^```$", re.MULTILINE | re.DOTALL)
NOTES = re.compile(r"^(?:fetching|loading|smollm2 is|it is in) .*$", re.MULTILINE)
ANSWERS = ("berth run", "uv run", "berth logs")
"""What a model or an engine says is its own."""

MAY_TAKE_LONG = ("uv tool install", "berth pull")
"""How long something takes decides which lines come before the last one."""


def blocks(page: str) -> Mapping[str, str]:
    """What each command printed."""
    found = [(block["command"], block["printed"]) for block in BLOCK.finditer(page)]
    return {f"{number} {command}": printed for number, (command, printed) in enumerate(found)}


def shape(printed: str) -> list[str]:
    """The lines without their numbers, and with one space where a table has several."""
    masked = re.sub(r"\d+(?:\.\d+)?(?: (?:s|min|[kMGT]B)\b)?", "N", printed)
    return [re.sub(r" +", " ", line).strip() for line in masked.splitlines()]


@pytest.mark.timeout(700)
def test_the_page_of_the_first_hour_is_what_a_newcomer_sees(
    checkout: Path, sample: Path, environment: dict[str, str]
) -> None:
    kept, seen = blocks(PAGE.read_text()), blocks(typed(checkout, sample, environment))
    assert list(seen) == list(kept)
    for command, printed in kept.items():
        now = seen[command]
        assert set(NOTES.findall(printed)) <= set(NOTES.findall(now)), f"{command}:\n{now}"
        if any(word in command for word in ANSWERS):
            assert NOTES.sub("", now).strip(), f"{command} printed nothing"
        elif any(word in command for word in MAY_TAKE_LONG):
            assert shape(now)[-1] == shape(printed)[-1], f"{command}:\n{now}"
        else:
            assert shape(now) == shape(printed), command
