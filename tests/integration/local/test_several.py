"""Several commands at once: one of them serves, and the others find it. Servers in the background, and their end."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.local.engine import install
from tests.integration.local.running import Berth
from tests.unit.runtime.model_files import put
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
async def berth(tmp_path: Path) -> AsyncIterator[Berth]:
    """Commands of one user with a model. Nothing runs yet; at the end nothing does."""
    put(tmp_path / "home" / "models" / "tiny", "tiny-Q4_K_M.gguf")
    install(tmp_path / "bin")
    user = Berth(tmp_path, environment={"BERTH_LOG_LEVEL": "INFO"})
    yield user
    for pid in user.family():
        os.kill(pid, signal.SIGKILL)
    await until(lambda: not user.family())


async def said(process: Process) -> tuple[int | None, str, str]:
    """The exit code of the command, and what it printed on stdout and on stderr."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def command(berth: Berth, *arguments: str) -> Process:
    return await berth.command(*arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)


async def ran(berth: Berth, *arguments: str) -> tuple[int | None, str, str]:
    return await said(await command(berth, *arguments))


def left(berth: Berth) -> set[str]:
    """The files of a run that has ended, of which there should be none."""
    return {"berth.json", "run"} & {entry.name for entry in berth.home.iterdir()}


async def test_of_commands_at_once_one_serves_and_the_others_use_it(berth: Berth) -> None:
    asked = [await command(berth, "run", "tiny", "Hi") for _ in range(2)]
    for code, out, err in [await said(each) for each in asked]:
        assert (code, out) == (0, "Paris.\n"), err
    assert not berth.family()
    assert not left(berth)


async def test_a_server_waits_for_a_command_that_serves_by_itself_and_then_serves(berth: Berth, tmp_path: Path) -> None:
    go = tmp_path / "go"
    asked = await command(berth, "run", "tiny", f"until {go}")
    assert asked.stdout
    assert await asyncio.wait_for(asked.stdout.read(3), PATIENCE_SECONDS) == b"Par"
    server = await command(berth, "up", "--port", "0")
    assert server.stderr
    waits = await asyncio.wait_for(server.stderr.readline(), PATIENCE_SECONDS)
    assert f"of another command, which ends when that has its answer (pid {asked.pid})" in waits.decode()
    go.touch()
    assert (await said(asked))[:2] == (0, "is.\n")
    assert server.stdout
    serves = await asyncio.wait_for(server.stdout.readline(), PATIENCE_SECONDS)
    assert f"(pid {server.pid})" in serves.decode()
    assert (await ran(berth, "run", "tiny", "Hi"))[:2] == (0, "Paris.\n")
    assert (await ran(berth, "down"))[:2] == (0, f"Berth has ended (pid {server.pid}).\n")
    assert (await said(server))[0] == 0


@asynccontextmanager
async def in_background(berth: Berth) -> AsyncGenerator[int]:
    """A server that `berth up -d` has started. Its pid."""
    code, out, err = await ran(berth, "up", "-d", "--port", "0")
    assert (code, err) == (0, "")
    assert "`berth down` ends it" in out
    yield int(out.partition("(pid ")[2].partition(")")[0])


async def test_a_server_in_the_background_serves_until_it_is_ended(berth: Berth) -> None:
    async with in_background(berth) as pid:
        assert os.getsid(pid) == pid, "no terminal ends it"
        code, out, _ = await ran(berth, "up", "-d")
        assert (code, f"(pid {pid}) already" in out) == (0, True)
        for option in ("--memory=1GB", "--host=0.0.0.0"):
            code, _, err = await ran(berth, "up", "-d", option)
            assert (code, err) == (0, "it goes on with the options that it was started with\n")
        assert (await ran(berth, "run", "tiny", "Hi"))[:2] == (0, "Paris.\n")
        assert "EngineReady" in (berth.home / "server.log").read_text()
        assert (await ran(berth, "down"))[:2] == (0, f"Berth has ended (pid {pid}).\n")
    assert not berth.family()
    assert not left(berth)


async def test_down_now_waits_for_no_answer(berth: Berth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTH_DRAIN_SECONDS", "600")
    async with in_background(berth):
        asked = await command(berth, "run", "tiny", "on and on")
        assert asked.stdout
        assert await asyncio.wait_for(asked.stdout.read(3), PATIENCE_SECONDS) == b"Par"
        assert (await ran(berth, "down", "--now"))[0] == 0
        code, _, err = await said(asked)
    assert code == 6
    assert "This server ends" in err


async def test_what_starts_in_the_background_and_cannot_is_told_at_once(berth: Berth) -> None:
    code, out, err = await ran(berth, "up", "-d", "--host", "0.0.0.0")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "BERTH_API_KEY" in err


async def test_a_hangup_that_is_ignored_ends_nothing_and_a_signal_at_once_leaves_nothing(berth: Berth) -> None:
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        server = await command(berth, "up", "--port", "0")
    finally:
        signal.signal(signal.SIGHUP, ignored)
    assert server.stdout
    await asyncio.wait_for(server.stdout.readline(), PATIENCE_SECONDS)
    server.send_signal(signal.SIGHUP)
    assert (await ran(berth, "status"))[0] == 0
    server.terminate()
    assert (await said(server))[0] == 0
    assert not left(berth)
    server = await command(berth, "up", "--port", "0")
    assert server.stdout
    await asyncio.wait_for(server.stdout.readline(), PATIENCE_SECONDS)
    server.send_signal(signal.SIGHUP)
    assert (await said(server))[0] == 0
    assert not left(berth)
    assert not berth.family()


async def test_a_command_that_serves_by_itself_leaves_nothing_when_it_is_told_to_end(berth: Berth) -> None:
    asked = await command(berth, "run", "tiny", "on and on")
    assert asked.stdout
    assert await asyncio.wait_for(asked.stdout.read(3), PATIENCE_SECONDS) == b"Par"
    asked.terminate()
    assert (await said(asked))[0] == 128 + signal.SIGTERM
    assert not left(berth)
    assert not berth.family()


async def test_a_server_whose_folder_is_deleted_says_so_and_ends(berth: Berth) -> None:
    server = await command(berth, "up", "--port", "0")
    await until((berth.home / "berth.json").exists)
    shutil.rmtree(berth.home)
    code, _, told = await said(server)
    assert (code, told) == (
        1,
        f"berth: {berth.home} was deleted: this server has ended, since no command could find it any more\n",
    )
    assert not berth.home.exists()
