"""Installing Berth from a checkout and from a wheel, as the page of one machine says, and removing it."""

import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.e2e.test_local_command import clone, environment, ran, uv_cache

__all__ = ["environment", "uv_cache"]

VERSION = r"berth \d+\.\d+\.\d+ \(([0-9a-f]{7,})\)\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with one commit."""
    folder = tmp_path / "clone"
    folder.mkdir()
    clone(folder)
    git = ["git", "-C", str(folder), "-c", "user.name=me", "-c", "user.email=me@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        subprocess.run([*git, *command], check=True)
    return folder


def commit(checkout: Path) -> str:
    told = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def test_a_checkout_becomes_a_command_and_goes_again(checkout: Path, environment: dict[str, str]) -> None:
    done = ran(["uv", "tool", "install", "."], environment, cwd=checkout)
    assert done.returncode == 0, done.stderr
    berth = Path(environment["HOME"]) / ".local/bin/berth"
    version = re.fullmatch(VERSION, ran([berth, "--version"], environment).stdout)
    assert version
    assert commit(checkout).startswith(version[1])
    # All of it is there: a server starts, and ends.
    up = ran([berth, "up", "--detach", "--port", "0"], environment)
    assert up.returncode == 0, up.stderr
    assert ran([berth, "down"], environment).returncode == 0
    assert ran(["uv", "tool", "uninstall", "berth-llm"], environment).returncode == 0
    assert not berth.exists()


def test_a_wheel_by_way_of_a_source_distribution_is_whole(
    checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    done = ran(["uv", "build", "--out-dir", tmp_path / "dist"], environment, cwd=checkout)
    assert done.returncode == 0, done.stderr
    [built] = (tmp_path / "dist").glob("berth_llm-*.whl")
    with zipfile.ZipFile(built) as wheel:
        packed = set(wheel.namelist())
        assert commit(checkout).startswith(wheel.read("berth_local/commit.txt").decode().strip())
    for source in checkout.glob("*/src"):
        for file in filter(Path.is_file, source.rglob("*")):
            assert str(file.relative_to(source)) in packed, file
