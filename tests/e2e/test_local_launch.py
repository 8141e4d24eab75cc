"""`berth launch` with real agents and the real engine: one turn each, and no file but the agents' own is written."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from berth_local.cli.agents import AGENTS
from berth_local.cli.sample_model import FILE, MODEL
from tests.e2e.clients.running import install, path_with_programs
from tests.e2e.test_local_command import sample
from tests.e2e.wide_model import WIDE_MODEL, make_wide_model
from tests.integration.local.running import Berth

__all__ = ["sample"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SECONDS = 300
TURNS = {
    "claude": ["-p", "Say hi"],
    "codex": ["exec", "--skip-git-repo-check", "Say hi"],
    "opencode": ["run", "Say hi"],
}
OTHERS = ("ANTHROPIC_", "BERTH_", "CLAUDE", "CODEX_", "OPENAI_", "OPENCODE", "XDG_")
"""Variables of whoever runs the tests, which an agent would obey."""


@pytest.fixture(scope="session")
def agents_path() -> str:
    """PATH with the agents."""
    install()
    return path_with_programs()


@pytest.fixture(scope="module")
async def berth(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Berth]:
    """One server for all agents."""
    folder = tmp_path_factory.mktemp("launch")
    make_wide_model(sample / MODEL / FILE, folder / "models")
    async with Berth(folder, real_engine=True) as running:
        yield running


def launched(
    berth: Berth, agents_path: str, home: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`berth launch`, ended; nobody types anything, and the user's home is empty."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
    return subprocess.run(
        [Path(sys.executable).with_name("berth"), "launch", *arguments],
        env={**kept, "PATH": agents_path, "HOME": str(home), "BERTH_URL": berth.url, **variables},
        cwd=home / "project",
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", TURNS)
def test_an_agent_has_a_turn(berth: Berth, agents_path: str, home: Path, name: str) -> None:
    settings = {home / ".claude/settings.json": "{}", home / ".codex/config.toml": 'model = "gpt-5"\n'}
    for file, text in settings.items():
        file.parent.mkdir(parents=True)
        file.write_text(text)
    # opencode looks for newer models, and all of them for newer versions; nothing of that is there.
    done = launched(berth, agents_path, home, name, "--", *TURNS[name], OPENCODE_DISABLE_MODELS_FETCH="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{AGENTS[name].title} on {WIDE_MODEL}, 65536 tokens of context, at {berth.url}" in done.stderr
    assert done.stdout.strip(), done.stderr
    assert {file: file.read_text() for file in settings} == settings
    assert not list((home / "project").iterdir())


def test_the_script_does_the_same(berth: Berth, agents_path: str, home: Path) -> None:
    script = launched(berth, agents_path, home, "claude", "--print", "--", *TURNS["claude"], "--output-format", "json")
    assert script.returncode == 0, script.stderr
    done = subprocess.run(
        ["bash", "-euc", script.stdout],
        env={"PATH": f"{Path(sys.executable).parent}:{agents_path}", "HOME": str(home)},
        cwd=home / "project",
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert not answer["is_error"]
    assert answer["num_turns"] == 1
