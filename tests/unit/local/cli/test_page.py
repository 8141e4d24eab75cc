"""docs/reference/cli.md has every command and every exit code, docs/how-to/coding-agents.md every agent."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from berth_local.cli import errors
from berth_local.cli.agents import AGENTS
from berth_local.cli.app import app

DOCS = Path(__file__).parents[4] / "docs"
PAGE = (DOCS / "reference/cli.md").read_text()
AGENTS_PAGE = (DOCS / "how-to/coding-agents.md").read_text()


def test_the_page_has_every_command() -> None:
    described = set(re.findall(r"`berth (\w+)", PAGE))
    assert {*app.list_commands(click.Context(app)), *app.other_names} <= described


def test_the_page_of_agents_has_each_with_how_to_get_it() -> None:
    for name, agent in AGENTS.items():
        row = rf"^\| `{name}` \| {agent.title} \| `{agent.install}` .*\b{agent.needs}\b"
        assert re.search(row, AGENTS_PAGE, re.MULTILINE), name


def test_the_page_has_every_exit_code_with_what_its_error_means() -> None:
    ends = [
        error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.CommandError) and error is not errors.CommandError
    ]
    table = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    rows = {int(code): meaning for code, meaning in re.findall(r"^\| (\d+) \| (.*) \|$", table, re.MULTILINE)}
    del rows[0]
    assert rows == {end.exit_code: (end.__doc__ or "").splitlines()[0] for end in ends}
    told = dict(re.findall(r"^[├└]── (\w+) +(\d+) ", errors.__doc__ or "", re.MULTILINE))
    assert told == {end.__name__: str(end.exit_code) for end in ends}


def test_whoever_has_read_enough_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; sys.stdout.reconfigure(line_buffering=True); from berth_local.cli.main import main; main()"
    with open(writer, "wb") as left:  # noqa: PTH123 (it is a pipe)
        done = subprocess.run([sys.executable, "-c", code], stdout=left, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # the latter where the locale is C
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_a_stream_cannot_show_is_named(encoding: str, errors: str) -> None:
    code = "from berth_local.cli.app import exit_code; exit_code(['-h']); print('caf\\xe9 \\u20ac \\udcff')"
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:{errors}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    shown = {"ascii": b"caf\\xe9 \\u20ac", "latin-1": b"caf\xe9 \\u20ac", "utf-8": "café €".encode()}
    assert done.stdout.splitlines()[-1] == shown[encoding] + b" \\udcff"


def ran(arguments: str, *, stderr: int = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command with these arguments, in a process of its own."""
    call = f"import sys; sys.argv[1:] = {arguments.split()}; from berth_local.cli.main import main; main()"
    every = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", call], env=every, stdout=subprocess.PIPE, stderr=stderr, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["ps --url http://127.0.0.1:9", "ps --no-such-option"])
def test_an_error_that_nobody_can_be_told_has_its_exit_code(command: str) -> None:
    expected = ran(command).returncode
    reader, writer = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert [ran(command, stderr=stream).returncode for stream in (writer, full)] == [expected, expected]
    finally:
        os.close(writer)
        os.close(full)
    assert expected in (2, 4)


def test_a_user_without_a_folder_is_told_what_to_set() -> None:
    code = (
        "import sys; from pathlib import Path; from berth_local.cli.app import exit_code\n"
        "def missing(): raise RuntimeError\n"
        "Path.home = missing; sys.exit(exit_code(['ps']))"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("BERTH_", "XDG_"))}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"berth: HOME is not set")


@pytest.mark.parametrize("loads", ["berth_local.cli.app", "click", "berth_local.cli.commands.run"])
def test_ctrl_c_while_modules_load_ends_the_command_without_a_word(loads: str) -> None:
    code = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {loads!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting()); sys.argv[1:] = ['run', '--help']\n"
        "from berth_local.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    if loads == "berth_local.cli.commands.run":  # the command has begun
        assert (done.returncode, done.stderr) == (130, b"berth: interrupted\n")
    else:
        assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        (
            "from berth_local.cli.app import exit_code; exit_code(['ps', '--help'])",
            {"pydantic", "aiohttp", "httpx2", "h11", "berth_local.cli.commands.run"},
        ),
        (
            "from berth_local.cli.client import Client; Client('http://127.0.0.1:1')",
            {"pydantic", "aiohttp", "httpx2", "ssl", "urllib.request"},
        ),
        (
            "import berth_local.serve.background, berth_local.serve.foreground",
            {"pydantic", "aiohttp", "fastapi", "berth_router", "berth_operator"},
        ),
        (
            "import berth_local.serve.server",
            {"aiohttp", "kopf", "kubernetes"},
        ),
    ],
    ids=["the help of another command", "a question", "the process for the first model", "a server of this machine"],
)
def test_nobody_waits_for_modules_that_others_need(code: str, absent: set[str]) -> None:
    loads = f"import sys; {code}\nprint({absent!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", loads], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"
