"""`berth pull`, with a server that stays and by itself."""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from tests.hub.server import HubServer
from tests.integration.local.running import Berth
from tests.unit.formats.weights import write_gguf
from tests.waiting import PATIENCE_SECONDS, until


async def test_who_interrupts_the_command_hears_that_the_server_goes_on(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "made" / "tiny-Q4_K_M.gguf")
    (tmp_path / "models").mkdir()
    with HubServer() as hub:
        hub.repository("org/tiny").commit({file.name: file, "README.md": b"# Tiny\n"})
        hub.bytes_per_second = file.stat().st_size // 100
        async with Berth(tmp_path, environment={"HF_ENDPOINT": hub.url}) as berth:
            pull = await berth.command("pull", "org/tiny:Q4_K_M", stdin=DEVNULL, stderr=PIPE)
            await until(lambda: hub.sent.get(file.name, 0) > 0)
            pull.send_signal(signal.SIGINT)
            _, told = await asyncio.wait_for(pull.communicate(), PATIENCE_SECONDS)
            assert pull.returncode == 130
            assert told.decode().endswith(
                "interrupted; the server goes on with the download: `berth pull org/tiny:Q4_K_M` shows how far it is\n"
            )
            hub.bytes_per_second = None


async def test_what_was_fetched_and_is_broken_is_a_failure(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "made" / "tiny-Q4_K_M.gguf")
    file.write_bytes(file.read_bytes()[:-100])
    with HubServer() as hub:
        hub.repository("org/tiny").commit({file.name: file})
        berth = Berth(tmp_path, environment={"HF_ENDPOINT": hub.url})
        pull = await berth.command("pull", "org/tiny", stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
        said, told = await asyncio.wait_for(pull.communicate(), PATIENCE_SECONDS)
    assert (pull.returncode, said) == (1, b"")
    assert "berth: tiny was fetched, and cannot be loaded: tiny-Q4_K_M.gguf has " in told.decode()
    assert told.decode().endswith(". `berth rm tiny` deletes it\n")


async def test_who_follows_a_download_whose_server_ends_hears_how_to_go_on(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "made" / "tiny-Q4_K_M.gguf")
    (tmp_path / "models").mkdir()
    with HubServer() as hub:
        hub.repository("org/tiny").commit({file.name: file})
        hub.bytes_per_second = file.stat().st_size // 100
        async with Berth(tmp_path, environment={"HF_ENDPOINT": hub.url}) as berth:
            pull = await berth.command("pull", "org/tiny", stdin=DEVNULL, stderr=PIPE)
            await until(lambda: hub.sent.get(file.name, 0) > 0)
            down = await berth.command("down")
            _, told = await asyncio.wait_for(pull.communicate(), PATIENCE_SECONDS)
            assert await down.wait() == 0
            hub.bytes_per_second = None
    assert pull.returncode == 4
    assert told.decode().endswith(
        "berth: tiny was not fetched: the server has ended; the same `berth pull` goes on from there\n"
    )
