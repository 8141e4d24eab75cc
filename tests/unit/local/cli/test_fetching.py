"""What a command says of a model that is being fetched, and that it waits for it where it needs it."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from berth_cluster.cluster import MODEL_DOWNLOADS
from berth_local.cli.progress import DownloadProgress
from berth_router.settings import RouterSettings
from tests.unit.local.cli.conftest import Command
from tests.unit.router.conftest import Serving
from tests.unit.router.test_downloads import request
from tests.unit.runtime.model_files import put

HALF: dict[str, Any] = {"phase": "Running", "reason": "Downloading", "bytesDone": 50_000_000, "bytesTotal": 100_000_000}


@pytest.fixture
async def job(serving: Serving) -> str:
    """A download of `other` that is half done."""
    _, answer = await request(serving, "acme/other")
    await serving.cluster.patch_status(MODEL_DOWNLOADS, answer["job_id"], HALF)
    return answer["job_id"]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a command follows a download."""
    begun = threading.Event()

    def show(_progress: DownloadProgress, _job: dict[str, Any]) -> None:
        begun.set()

    monkeypatch.setattr(DownloadProgress, "show", show)
    return begun


@pytest.mark.parametrize("settings", [{"store_writable": True}], indirect=True)
@pytest.mark.parametrize("command", ["show", "get", "rm", "logs", "describe"])
async def test_whoever_needs_a_model_that_is_being_fetched_hears_how_far_it_is(
    job: str, berth: Command, command: str
) -> None:
    ran = await berth(command, "OTHER")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err == "berth: other is being fetched: 50 MB of 100 MB; ask again when it is there\n"


async def test_the_list_says_what_is_on_its_way(job: str, berth: Command) -> None:
    ran = await berth("list")
    assert "other" not in ran.out
    assert ran.err.endswith("\nother is being fetched: 50 MB of 100 MB\n")


async def test_whoever_waits_hears_that_the_download_was_cancelled(
    job: str, serving: Serving, berth: Command, waits: threading.Event
) -> None:
    running = asyncio.create_task(berth("run", "other", "Hi"))
    await asyncio.to_thread(waits.wait, 60)
    await serving.cluster.delete(MODEL_DOWNLOADS, job)
    ran = await running
    assert (ran.code, ran.err.splitlines()[1]) == (1, "berth: other was not fetched: the download was cancelled")


@pytest.mark.parametrize(("phase", "message"), [("Succeeded", ""), ("Failed", "the repository is gone")])
async def test_run_waits_for_a_model_that_is_being_fetched(
    job: str,
    serving: Serving,
    settings: RouterSettings,
    berth: Command,
    waits: threading.Event,
    phase: str,
    message: str,
) -> None:
    running = asyncio.create_task(berth("run", "other", "Hi"))
    await asyncio.to_thread(waits.wait, 60)
    if phase == "Succeeded":
        put(Path(settings.model_store) / "other", "other-Q4_K_M.gguf")
    await serving.cluster.patch_status(MODEL_DOWNLOADS, job, {**HALF, "phase": phase, "message": message})
    if phase == "Succeeded":
        await serving.make_ready(await serving.created())
    ran = await running
    told = ran.err.splitlines()
    assert told[0] == "other is being fetched: waiting for it"
    if phase == "Succeeded":
        assert (ran.code, ran.out) == (0, "Paris.\n")
    else:
        assert (ran.code, told[1]) == (1, "berth: other was not fetched: the repository is gone")
