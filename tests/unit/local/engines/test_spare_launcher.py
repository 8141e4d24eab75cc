"""Launches through a spare process are launches like any other."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from berth_local.engines.spare_launcher import SpareLauncher
from berth_local.node.output import OutputBuffer
from berth_local.node.processes import Processes


@pytest.fixture
async def launcher() -> AsyncIterator[SpareLauncher]:
    async with Processes() as processes:
        launcher = SpareLauncher(processes, replace_seconds=0)
        yield launcher
        await launcher.close()


@pytest.fixture
def last_words(tmp_path: Path) -> Path:
    """The file for the termination message, which is there before the launch."""
    file = tmp_path / "last-words"
    file.touch()
    return file


async def never_told(reason: str) -> None:
    raise AssertionError(f"nothing has to come first, but {reason}")


async def broken_launch(launcher: SpareLauncher, model: Path, last_words: Path) -> tuple[int, list[str], str]:
    output = OutputBuffer()
    arguments = ["llamacpp", "--model", str(model), "--port", "9"]
    child = await launcher.launch(
        arguments, {**os.environ, "BERTH_TERMINATION_LOG": str(last_words)}, output, never_told
    )
    return await asyncio.wait_for(child.wait(), 30), output.lines(), await asyncio.to_thread(last_words.read_text)


@pytest.mark.parametrize("prepared", [True, False], ids=["spare", "fresh"])
async def test_the_launchers_checks_hold(
    launcher: SpareLauncher, tmp_path: Path, last_words: Path, *, prepared: bool
) -> None:
    if prepared:
        await launcher.prepare()
    code, lines, said = await broken_launch(launcher, tmp_path / "nothing", last_words)
    assert code == 66
    assert lines[-1].startswith("ModelNotFound: ")
    assert said == lines[-1]


async def test_a_file_that_only_begins_well_is_told_in_the_engines_words(
    launcher: SpareLauncher, tmp_path: Path, last_words: Path
) -> None:
    await launcher.prepare()
    model = tmp_path / "broken.gguf"
    model.write_bytes(b"GGUF" + b"\xff" * 100)
    code, lines, _ = await broken_launch(launcher, model, last_words)
    assert code == 1
    assert any("failed to load model" in line for line in lines)


async def test_the_spare_is_taken_and_another_takes_its_place(
    launcher: SpareLauncher, tmp_path: Path, last_words: Path
) -> None:
    await launcher.prepare()
    first = launcher.spare
    await broken_launch(launcher, tmp_path / "nothing", last_words)
    assert first
    await asyncio.wait_for(first.wait(), 30)
    async with asyncio.timeout(30):
        while launcher.spare is None:  # noqa: ASYNC110 (it appears when it does)
            await asyncio.sleep(0.01)
    assert launcher.spare.pid != first.pid


async def test_a_spare_that_was_killed_costs_no_launch(
    launcher: SpareLauncher, tmp_path: Path, last_words: Path
) -> None:
    await launcher.prepare()
    assert launcher.spare
    launcher.spare.kill()
    await launcher.spare.wait()
    code, lines, _ = await broken_launch(launcher, tmp_path / "nothing", last_words)
    assert code == 66
    assert lines[-1].startswith("ModelNotFound: ")


async def test_a_spare_ends_with_its_launcher(launcher: SpareLauncher) -> None:
    await launcher.prepare()
    assert launcher.spare
    pid = launcher.spare.pid
    await launcher.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIG_DFL)


async def test_a_library_that_is_missing_is_told_as_the_launch_fails(tmp_path: Path, last_words: Path) -> None:
    (tmp_path / "sample.gguf").write_bytes(b"GGUF")
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    async with Processes() as processes:
        launcher = SpareLauncher(processes, {**os.environ, "PYTHONPATH": str(tmp_path)})
        await launcher.prepare()
        code, _, said = await broken_launch(launcher, tmp_path / "sample.gguf", last_words)
        await launcher.close()
    assert code == 69
    assert said.startswith("EngineNotInstalled: ")
    assert "libgomp.so.1" in said
