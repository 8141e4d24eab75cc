"""Children with real processes: how they end, and that nothing of them is left."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from berth_local.node.output import OutputBuffer
from berth_local.node.processes import Processes
from tests.waiting import until

ENVIRONMENT = {"PATH": os.environ["PATH"]}
PROMISED_SECONDS = 2
"""Within which nothing of a killed Berth is left."""

DAEMON = (
    "(setsid sh -c 'echo $$ > daemon; sleep 1000 & echo $! > child; wait' &) ; "
    "while [ ! -s child ]; do sleep 0.01; done"
)
"""Starts what nobody is the parent of, in a session of its own."""


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    async with Processes() as opened:
        yield opened


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def daemons(directory: Path) -> list[int]:
    return [int((directory / name).read_text()) for name in ("daemon", "child")]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -SEGV $$", 139)]
)
async def test_the_exit_code_is_a_shells(processes: Processes, script: str, code: int) -> None:
    assert await (await processes.start(["sh", "-c", script], ENVIRONMENT)).wait() == code


async def test_a_program_that_is_not_there_says_so(processes: Processes) -> None:
    child = await processes.start(["no-such-program"], ENVIRONMENT)
    assert await child.wait() == 127
    assert child.output.lines() == ["no-such-program cannot be run: No such file or directory"]


async def test_output_and_errors_are_kept_in_order(processes: Processes) -> None:
    output = OutputBuffer()
    child = await processes.start(["sh", "-c", "echo one; echo two >&2; printf three"], ENVIRONMENT, output)
    await child.wait()
    assert output.lines() == ["one", "two", "three"]


async def test_what_is_written_to_it_arrives(processes: Processes) -> None:
    child = await processes.start(["sh", "-c", "read line; echo got $line"], ENVIRONMENT, stdin=True)
    await child.write(b"this\n")
    await child.wait()
    assert child.output.lines() == ["got this"]


async def test_it_is_asked_to_end_and_may_say_goodbye(processes: Processes) -> None:
    child = await processes.start(
        ["sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.01; done"], ENVIRONMENT
    )
    await until(child.output.lines)
    assert await child.stop(grace_seconds=20) == 5
    assert "bye" in child.output.lines()


async def test_one_that_does_not_listen_is_killed_when_its_grace_is_over(processes: Processes) -> None:
    child = await processes.start(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done"], ENVIRONMENT)
    await until(child.output.lines)
    assert await child.stop(grace_seconds=0.05) == 137


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only its process group")
@pytest.mark.parametrize("ending", ["it ends", "it is stopped", "it is killed"])
async def test_what_it_has_started_goes_with_it(processes: Processes, tmp_path: Path, ending: str) -> None:
    child = await processes.start(
        ["sh", "-c", f"cd {tmp_path}; {DAEMON}; echo up; {'' if ending == 'it ends' else 'sleep 1000'}"], ENVIRONMENT
    )
    await until(child.output.lines)
    match ending:
        case "it is stopped":
            await child.stop(grace_seconds=20)
        case "it is killed":
            child.kill()
        case _:
            pass
    await child.wait()
    assert [pid for pid in daemons(tmp_path) if lives(pid)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only its process group")
async def test_at_the_end_none_is_left(tmp_path: Path) -> None:
    async with Processes() as processes:
        child = await processes.start(["sh", "-c", f"cd {tmp_path}; {DAEMON}; echo up; sleep 1000"], ENVIRONMENT)
        await until(child.output.lines)
    assert not lives(child.pid)
    assert [pid for pid in daemons(tmp_path) if lives(pid)] == []


PARENT = """
import asyncio, os, sys
from berth_local.node.processes import Processes

async def main():
    async with Processes() as processes:
        child = await processes.start(["sh", "-c", sys.argv[1]], dict(os.environ))
        while not child.output.lines():
            await asyncio.sleep(0.01)
        print("up", flush=True)
        await child.wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only its process group")
@pytest.mark.parametrize("victim", ["Berth", "the supervisor"])
async def test_whoever_is_killed_takes_the_child_along(tmp_path: Path, victim: str) -> None:
    script = (
        f"cd {tmp_path}; echo $PPID > supervisor; echo $$ > shell; {DAEMON}; "
        "echo up; sleep 1000 & echo $! > sleep; wait"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout
    await parent.stdout.readline()
    await until(lambda: (tmp_path / "sleep").exists() and (tmp_path / "sleep").read_text())
    supervisor, shell, sleep = (int((tmp_path / name).read_text()) for name in ("supervisor", "shell", "sleep"))
    os.kill(parent.pid if victim == "Berth" else supervisor, 9)
    async with asyncio.timeout(PROMISED_SECONDS):
        await until(lambda: not any(map(lives, (supervisor, shell, sleep))))
    if victim == "Berth":
        await until(lambda: not any(map(lives, daemons(tmp_path))))
    for pid in filter(lives, daemons(tmp_path)):
        os.kill(pid, 9)  # what left the session, nobody finds without the supervisor
    await parent.wait()
