"""What `berth run` sends of what is piped in, and says beside an answer that does not say it itself."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from tests.unit.local.cli.conftest import NOWHERE, Command, Ran
from tests.unit.router.conftest import Serving
from tests.unit.router.engine import Call


def as_stdin(content: bytes, *arguments: str, url: str) -> Ran:
    """`berth` as a process of its own, with this piped in."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("berth"), *arguments],
        input=content,
        env={**os.environ, "BERTH_URL": url},
        check=False,
        capture_output=True,
    )
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


async def test_what_is_piped_in_comes_before_the_words(ready: Serving) -> None:
    url = f"http://127.0.0.1:{ready.port}"
    ran = await asyncio.to_thread(as_stdin, b"a text\n", "run", "tiny", "Summarize", "it", url=url)
    assert ran == Ran(0, "Paris.\n", "")
    assert ready.engine.calls[-1].body["messages"][-1]["content"] == "a text\n\nSummarize it"


@pytest.mark.parametrize("language", ["C.UTF-8", "C", ""])
def test_what_is_piped_in_and_is_no_text_is_told_as_that(language: str) -> None:
    with patch.dict(os.environ, {"LC_ALL": language, "LANG": ""}):
        ran = as_stdin("grün".encode("latin-1"), "run", "tiny", url=NOWHERE)
    assert ran == Ran(2, "", "berth: what stdin holds is not text in UTF-8\n")


def test_what_is_piped_in_is_not_read_for_ever() -> None:
    with Path("/dev/zero").open("rb") as endless:
        ran = subprocess.run(
            [Path(sys.executable).with_name("berth"), "run", "tiny"],
            stdin=endless,
            env={**os.environ, "BERTH_URL": NOWHERE},
            check=False,
            capture_output=True,
            text=True,
        )
    assert ran.returncode == 2
    assert ran.stderr == "berth: what stdin holds has more than 20 million characters, which no model reads\n"


def choice(fields: dict[str, Any]) -> bytes:
    """An event of a stream, with these fields of its choice."""
    return b"data: " + orjson.dumps({"choices": [{"index": 0, **fields}]}) + b"\n\n"


ENDS: list[tuple[list[dict[str, Any]], Ran]] = [
    (
        [{"delta": {"reasoning_content": "hm"}}, {"delta": {"content": "Paris."}, "finish_reason": "length"}],
        Ran(0, "Paris.\n", "the answer is cut off: --max-tokens N allows more\n"),
    ),
    (
        [{"delta": {}, "finish_reason": "stop"}],
        Ran(1, "", "berth: the answer is empty: the model has ended it without a word\n"),
    ),
    (
        [{"delta": {"reasoning": "hm"}}, {"delta": {}, "finish_reason": "length"}],
        Ran(
            1,
            "",
            "berth: the answer is empty: the model has only thought:"
            " --max-tokens N allows more, --no-think leaves the thoughts out\n",
        ),
    ),
    ([{"delta": {"content": "\x1b[31mred"}, "finish_reason": "stop"}], Ran(0, "\x1b[31mred\n", "")),
]


@pytest.mark.parametrize(("events", "ran"), ENDS)
async def test_what_an_answer_does_not_say_is_told_beside_it(
    ready: Serving, berth: Command, events: list[dict[str, Any]], ran: Ran
) -> None:
    async def answer(call: Call) -> None:
        await call.begin_stream()
        for event in events:
            await call.stream(choice(event))
        await call.stream(b"data: [DONE]\n\n")
        await call.stream(b"")

    ready.engine.behaviour = answer
    assert await berth("run", "tiny", "Hi") == ran


def test_who_leaves_a_pipe_open_hears_what_is_waited_for(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("berth"), "run", "tiny"]
    environment = {**os.environ, "BERTH_HOME": str(tmp_path), "BERTH_URL": "http://127.0.0.1:9"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as asked:
        assert asked.stdin
        assert asked.stderr
        assert asked.stderr.readline().startswith("waiting for the end of what is piped in")
        asked.stdin.close()
        assert asked.wait(30) == 2
        assert "the prompt is empty" in asked.stderr.read()
