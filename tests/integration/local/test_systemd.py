"""`berth service` with a real systemd: a manager of a user, whose home is the test's, which is no one's init."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from berth_local.cli.systemd_unit import NAME, unit_text
from tests.conftest import missing
from tests.integration.local.engine import install
from tests.unit.addresses import free_port
from tests.unit.runtime.model_files import put
from tests.waiting import PATIENCE_SECONDS, until

SYSTEMD = "/lib/systemd/systemd"
INSTALL = "apt-get install systemd"
BERTH = Path(sys.executable).with_name("berth")

MANAGER = 'mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec "$0" --user'
"""Run in mounts of its own: systemd serves a user only where systemd seems to have booted the machine."""


class User:
    """A user of systemd."""

    def __init__(self, directory: Path) -> None:
        self.home = directory
        self.state = directory / ".local/share/berth"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BERTH_", "XDG_"))}
        self.environment = {
            **kept,
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
        }

    async def run(self, *command: str | Path) -> str:
        """What the command prints. Raises AssertionError if it fails."""
        process = await asyncio.create_subprocess_exec(
            *command, env=self.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        printed, told = await process.communicate()
        assert process.returncode == 0, f"{command}: {told.decode()}"
        return printed.decode()

    def serving(self) -> int | None:
        """The process that takes requests."""
        file = self.state / "berth.json"
        return json.loads(file.read_text())["pid"] if file.exists() else None

    def unit(self, fact: str) -> str:
        """Such as MainPID of Berth's unit."""
        show = ["systemctl", "--user", "show", f"--property={fact}", "--value", NAME]
        return subprocess.run(show, env=self.environment, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
async def user(tmp_path: Path) -> AsyncIterator[User]:
    if os.geteuid() != 0 or not os.access(SYSTEMD, os.X_OK) or not shutil.which("systemctl"):
        missing("systemd, or root, who may mount", INSTALL)
    someone = User(tmp_path)
    (tmp_path / "run").mkdir(mode=0o700)
    install(tmp_path / "bin")
    put(someone.state / "models" / "tiny", "tiny-Q4_K_M.gguf")
    # It need not wait five seconds after a crash.
    change = tmp_path / ".config/systemd/user" / f"{NAME}.d/soon.conf"
    change.parent.mkdir(parents=True)
    change.write_text("[Service]\nRestartSec=100ms\n")
    variables = tmp_path / ".config/berth/environment"
    variables.parent.mkdir()
    variables.write_text("BERTH_DRAIN_SECONDS=25\n")
    manager = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "sh", "-c", MANAGER, SYSTEMD, env=someone.environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        await until(lambda: (tmp_path / "run/systemd/private").exists() or manager.returncode is not None)
        if manager.returncode is not None:
            missing("a systemd that can serve a user here", "run it where cgroups can be written")
        yield someone
    finally:
        if manager.returncode is None:
            manager.terminate()
        await asyncio.wait_for(manager.wait(), PATIENCE_SECONDS)


def test_systemd_takes_every_line_of_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        missing("systemd-analyze", INSTALL)
    (tmp_path / NAME).write_text(unit_text([str(BERTH)], ["--alias", "a=b %h $c"], {"PATH": "/opt/100%:/bin"}))
    told = subprocess.run(
        ["systemd-analyze", "verify", "--user", tmp_path / NAME],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


async def test_systemd_starts_it_again_lets_it_end_and_removes_it(user: User, tmp_path: Path) -> None:
    port = str(free_port())
    started = await user.run(BERTH, "service", "install", "--", "--port", port)
    first = user.unit("MainPID")
    assert started.startswith(f"Berth serves OpenAI's API at http://127.0.0.1:{port}/v1 (pid {first}), by ")
    assert await user.run(BERTH, "run", "tiny", "What is the capital of France?") == "Paris.\n"

    os.kill(int(first), signal.SIGKILL)
    await until(lambda: user.unit("NRestarts") == "1")
    await until(lambda: user.unit("ActiveState") == "active")
    again = int(user.unit("MainPID"))
    await until(lambda: user.serving() == again != int(first))

    client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    gate = tmp_path / "gate"
    async with client:
        question = f"until {gate} "
        answer = await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": question}], stream=True
        )
        said = [(await anext(answer)).choices[0].delta.content or "" for _ in range(2)]
        await user.run("systemctl", "--user", "stop", "--no-block", NAME)
        await until(lambda: user.unit("ActiveState") == "deactivating")
        gate.touch()
        said += [part.choices[0].delta.content or "" async for part in answer]
    assert "".join(said) == "Paris.", "an answer under way ends before its engine does"
    await until(lambda: user.unit("ActiveState") == "inactive")
    assert user.unit("Result") == "success"

    unit = user.home / ".config/systemd/user" / NAME
    assert await user.run(BERTH, "service", "uninstall") == f"{unit} is removed.\n"
    assert not unit.exists()
    assert user.unit("LoadState") == "not-found"
