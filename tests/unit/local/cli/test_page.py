"""docs/reference/cli.md has every command and every exit code, docs/how-to/coding-agents.md every agent."""

import re
import subprocess
import sys
from pathlib import Path

import click

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


def test_a_command_loads_neither_the_others_nor_what_the_server_needs() -> None:
    """Whoever asks a loaded model waits for what the command imports."""
    loads = (
        "import sys; from berth_local.cli.main import exit_code; exit_code(['ps', '--help'])\n"
        "print({'pydantic', 'aiohttp', 'httpx2', 'berth_local.cli.commands.run'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", loads], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"
