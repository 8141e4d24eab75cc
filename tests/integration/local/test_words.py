"""What `berth run` says while a model of this machine starts, and when it cannot: nothing of pods, nodes and images."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.local.running import Berth
from tests.unit.formats.weights import write_gguf
from tests.unit.runtime.model_files import put
from tests.waiting import PATIENCE_SECONDS

KUBERNETES = re.compile(r"\b(?:pods?|nodes?|images?|containers?|kubelet|kubectl|cluster|Job)\b", re.IGNORECASE)


@pytest.fixture
async def berth(tmp_path: Path) -> AsyncIterator[Berth]:
    put(tmp_path / "models" / "tiny", "tiny-Q4_K_M.gguf")
    put(tmp_path / "models" / "page", "page-Q4_K_M.gguf", content=b"<html>")
    async with Berth(tmp_path) as running:
        yield running


class Said(NamedTuple):
    """What a command printed."""

    code: int
    out: str
    err: str


async def run(berth: Berth, model: str) -> Said:
    """Asks the model with the command."""
    pipe = asyncio.subprocess.PIPE
    command = await berth.command("run", model, "Hi", stdout=pipe, stderr=pipe, stdin=asyncio.subprocess.DEVNULL)
    out, err = await asyncio.wait_for(command.communicate(), PATIENCE_SECONDS)
    return Said(command.returncode or 0, out.decode(), err.decode())


async def test_a_start_is_told_as_the_start_of_an_engine(berth: Berth) -> None:
    said = await run(berth, "tiny")
    assert (said.code, said.out) == (0, "Paris.\n")
    assert said.err == "loading tiny\n"
    assert not KUBERNETES.findall(said.err), said.err


async def test_a_start_that_fails_is_told_with_what_is_wrong_here(berth: Berth) -> None:
    said = await run(berth, "page")
    assert (said.code, said.out) == (1, "")
    assert "berth: page cannot start: " in said.err
    assert "is an HTML or XML page" in said.err
    assert said.err.endswith(" (WrongFormat)\n")
    assert not KUBERNETES.findall(said.err), said.err


async def test_an_engine_that_does_not_start_is_told_with_its_last_words(berth: Berth) -> None:
    (berth.home.parent / "bin" / "llama-server").write_text("#!/bin/sh\necho much; echo no room; exit 1\n")
    write_gguf(berth.models / "whole" / "whole-Q4_K_M.gguf")
    said = await run(berth, "whole")
    assert (said.code, said.out) == (6, "")
    assert (
        "berth: whole cannot start: the engine exited with code 1 (EngineExited); its last line: no room\n" in said.err
    )
    assert not KUBERNETES.findall(said.err), said.err


async def test_of_a_download_that_did_not_finish_that_is_told_and_not_what_the_engine_made_of_it(berth: Berth) -> None:
    (berth.home.parent / "bin" / "llama-server").write_text("#!/bin/sh\necho no tensor; exit 1\n")
    file = write_gguf(berth.models / "half" / "half-Q4_K_M.gguf")
    os.truncate(file, file.stat().st_size // 2)
    said = await run(berth, "half")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("loading half")
    assert ": the download did not finish (WrongFormat)\n" in said.err
    assert said.err.count("\n") == 2
