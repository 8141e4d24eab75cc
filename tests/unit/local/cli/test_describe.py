"""berth describe: the story of a start."""

import asyncio
import re
from datetime import UTC, datetime

from berth_local.cli.commands.describe import story_lines
from berth_local.cli.room_words import Residents
from tests.unit.local.cli.conftest import Command
from tests.unit.router.conftest import Serving


async def test_describe_tells_how_a_model_started(ready: Serving, berth: Command) -> None:
    ran = await berth("describe", "TINY")
    told = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert (told["Model"], told["Deployment"]) == ("tiny", await ready.created())
    assert told["Now"].startswith("ready for ")
    assert "Reason" not in told
    assert (await berth("describe", told["Deployment"])).out.splitlines()[0] == "Model       tiny"
    assert (await berth("describe", "tinny")).err.endswith(" Did you mean tiny?\n")


async def test_describe_tells_why_a_model_does_not_start(serving: Serving, berth: Command) -> None:
    assert "does not run" in (await berth("describe", "tiny")).out
    running = asyncio.create_task(berth("run", "tiny", "Hi"))
    name = await serving.created()
    await serving.make_stalled(name, "EngineExited", "the engine exited; its last lines:\nmuch\nno room\n")
    await running
    out = (await berth("describe", "tiny")).out
    assert re.search(r"^Now +cannot start; 0 requests in hand$", out, re.MULTILINE), out
    assert re.search(r"^Reason +the engine exited; its last line: no room$", out, re.MULTILINE), out
    assert f"berth logs {name}" in out


def test_the_story_of_a_start_has_a_line_for_each_step() -> None:
    story = {
        "model_path": "/models/Tiny",
        "deployment": "tiny-0514176df1",
        "asked": {
            "spec": {
                "backend": "llamacpp",
                "device": "cpu",
                "llamacpp": {"contextSize": 2048},
                "idle": {"ttlSeconds": 0},
            }
        },
        "phase": "Starting",
        "message": None,
        "memory_bytes": 388_000_000,
        "context_size": None,
        "loaded_at": None,
        "expires_at": None,
        "in_flight": 1,
        "start_steps": [{"name": "PodCreated", "seconds": 12.04}, {"name": "PodScheduled", "seconds": 12.1}],
    }
    assert story_lines(story, Residents(), datetime.now(UTC)) == [
        "Model       Tiny",
        "Deployment  tiny-0514176df1",
        "Asked for   llamacpp on cpu, context 2048, kept for ever",
        "Now         starts; 1 request in hand",
        "Memory      388 MB",
        "Engine log  berth logs tiny-0514176df1",
        "The start, from the request on",
        "    12.0 s  there was room for it",
        "    12.1 s  it had its place",
    ]
