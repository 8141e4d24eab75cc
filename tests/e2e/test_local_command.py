"""One machine without a cluster:
README's first road in a fresh clone, a server and the commands that find it, downloads that resume.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from berth_local.cli.sample_model import FILE, MODEL
from tests.conftest import missing
from tests.hub.server import HubServer
from tests.unit.formats.weights import write_checkpoint

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BERTH = Path(sys.executable).with_name("berth")
SECONDS = 180


@pytest.fixture(scope="session")
def uv_cache() -> str:
    """Where uv keeps what it has fetched, for runs that have another home."""
    uv = shutil.which("uv")
    if uv is None:
        missing("uv", "scripts/test fetches one")
    return subprocess.run([uv or "uv", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def environment(tmp_path: Path, uv_cache: str) -> dict[str, str]:
    """That of a user with an empty home."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BERTH_", "XDG_", "HF_", "VIRTUAL_ENV", "UV"))
    }
    (tmp_path / "home").mkdir()
    return kept | {"HOME": str(tmp_path / "home"), "UV_CACHE_DIR": uv_cache}


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model store with the sample."""
    store = tmp_path_factory.mktemp("store")
    subprocess.run([ROOT / "scripts/sample-model", store], check=True, timeout=SECONDS)
    return store


def ran(
    command: list[str | Path], environment: dict[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The command, ended; nobody types anything."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )


def clone(target: Path) -> None:
    """The checkout as git would give it to somebody, with what has been changed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def blocks(section: str) -> list[str]:
    """The shell blocks of a section of README."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_first_command_reaches_an_answer(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "clone").mkdir()
    clone(tmp_path / "clone")
    command = blocks("Try it")[0]
    done = ran(["bash", "-euc", command], environment, cwd=tmp_path / "clone")
    assert done.returncode == 0, done.stderr
    assert "gravity" in done.stdout.lower()
    assert done.stderr.count(f"loading {MODEL} (98 MB)\n") == 1
    assert (tmp_path / "home/.local/share/berth/models" / MODEL / FILE).is_file()


@pytest.fixture
def server(environment: dict[str, str], sample: Path) -> Iterator[str]:
    """`berth up` on a port of the kernel's choice; its address."""
    arguments = [BERTH, "up", "--models", sample, "--port", "0"]
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"http://\S+(?=/v1)", line)
        assert found, line
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_server_is_found_by_the_other_commands(environment: dict[str, str], server: str) -> None:
    def berth(*arguments: str) -> str:
        done = ran([BERTH, *arguments], environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(berth("status", "-o", "json"))["url"] == server
    assert berth("run", MODEL, "Hello", "--max-tokens", "5").strip()
    assert json.loads(berth("ps", "-o", "json"))["loaded_models"][0]["phase"] == "Ready"
    assert berth("logs", MODEL, "--tail", "5").strip()
    assert berth("stop", MODEL) == f"{MODEL} is unloaded.\n"


@pytest.fixture
def hub(sample: Path) -> Iterator[HubServer]:
    """A hub with the sample in it."""
    with HubServer() as running:
        running.repository("org/sample").commit({FILE: sample / MODEL / FILE, "README.md": b"# Sample\n"})
        yield running


def test_an_interrupted_download_goes_on_where_it_was(environment: dict[str, str], hub: HubServer) -> None:
    environment["HF_ENDPOINT"] = hub.url
    size = hub.repositories["org/sample"].commits[hub.repositories["org/sample"].branches["main"]][FILE].size
    pull: list[str | Path] = [BERTH, "pull", "org/sample:Q4_1"]
    hub.bytes_per_second = size // 8
    with subprocess.Popen(pull, env=environment, stderr=subprocess.PIPE, text=True) as interrupted:
        hub.until_sent(size // 2)
        interrupted.send_signal(signal.SIGINT)
        _, told = interrupted.communicate(timeout=SECONDS)
    assert interrupted.returncode == 130
    assert told.splitlines()[-1] == "berth: interrupted: `berth pull org/sample:Q4_1` goes on from here"
    hub.bytes_per_second = None
    done = ran(pull, environment)
    assert done.stdout == "sample-Q4_1 (98 MB): berth run sample-Q4_1\n"
    assert sum(hub.sent.values()) < 1.4 * size
    assert ran([BERTH, "list"], environment).stdout.splitlines()[1].split()[0] == "sample-Q4_1"


def test_a_model_comes_with_its_licence(environment: dict[str, str], hub: HubServer, tmp_path: Path) -> None:
    files = write_checkpoint(tmp_path / "made")
    card = b"---\nlicense: apache-2.0\n---\n# Small\n"
    hub.repository("org/small").commit({path.name: path.read_bytes() for path in files.iterdir()} | {"README.md": card})
    environment["HF_ENDPOINT"] = hub.url
    told = ran([BERTH, "pull", "org/small"], environment)
    assert told.stdout == "small (2 kB): berth run small\n"
    assert "kubectl" not in told.stderr
    assert "Licence       apache-2.0\n" in ran([BERTH, "show", "small"], environment).stdout


def test_a_repository_that_is_not_there_is_told(environment: dict[str, str], hub: HubServer) -> None:
    environment["HF_ENDPOINT"] = hub.url
    done = ran([BERTH, "pull", "org/absent"], environment)
    assert done.returncode == 3
    assert "has no repository org/absent" in done.stderr


def test_who_is_offline_hears_the_cause_at_once(environment: dict[str, str]) -> None:
    environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    done = ran([BERTH, "pull", "org/sample"], environment)
    assert done.returncode == 6
    assert done.stderr == (
        "berth: the hub at http://127.0.0.1:9 cannot be used: the connection was refused:"
        " HTTPS_PROXY names a proxy to go through, HF_ENDPOINT a mirror\n"
    )
