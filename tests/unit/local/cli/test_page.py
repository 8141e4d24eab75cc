"""docs/reference/cli.md has every command and every exit code, docs/how-to/coding-agents.md every agent."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from berth_local.cli import errors
from berth_local.cli.agents import AGENTS
from berth_local.cli.main import app

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


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_a_stream_cannot_show_is_named(encoding: str) -> None:
    code = "from berth_local.cli.main import exit_code; exit_code(['-h']); print('caf\\xe9 \\u20ac \\udcff')"
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    shown = {"ascii": b"caf\\xe9 \\u20ac", "latin-1": b"caf\xe9 \\u20ac", "utf-8": "café €".encode()}
    assert done.stdout.splitlines()[-1] == shown[encoding] + b" \\udcff"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        (
            "from berth_local.cli.main import exit_code; exit_code(['ps', '--help'])",
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
