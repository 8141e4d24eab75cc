"""Every block of EXAMPLES.md, and README's clients, on one machine: they do what the pages say."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_examples import node_modules, titled
from tests.e2e.test_local_command import BERTH, README, sample

__all__ = ["node_modules", "sample"]

USUAL = "127.0.0.1:8080"
"""Where the pages have the server."""

OF_README = re.findall(
    r"^```(sh|js|python)\n(.*?)^```$",
    README.partition("\n## Any OpenAI client\n")[2].partition("\n## ")[0],
    re.MULTILINE | re.DOTALL,
)
BLOCKS = [("README", language, code) for language, code in OF_README] + [
    block for block in titled() if block[1] in ("sh", "js", "python")
]


@pytest.fixture(scope="module")
def server(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`berth up` with the sample; its host and port. Its answers have a limit: small models ramble for minutes."""
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "BERTH_HOME": str(home), "BERTH_URL": ""}
    command = [BERTH, "up", "--detach", "--models", sample, "--port", "0", "--max-tokens", "256"]
    started = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
    found = re.search(r"http://([\d.:]+)/v1", started.stdout)
    assert found, started.stdout
    yield found[1]
    subprocess.run([BERTH, "down"], env=environment, check=True, timeout=60, capture_output=True)


def test_readme_has_a_client_in_each_of_three_languages() -> None:
    assert {language for language, _ in OF_README} == {"sh", "js", "python"}


@pytest.mark.parametrize(("title", "language", "code"), BLOCKS, ids=lambda value: value.split("\n")[0][:30])
def test_a_block_does_what_its_page_says(
    server: str, node_modules: Path, tmp_path: Path, title: str, language: str, code: str
) -> None:
    environment = {**os.environ, "OPENAI_BASE_URL": f"http://{server}/v1", "OPENAI_API_KEY": "none"}
    (tmp_path / "node_modules").symlink_to(node_modules)
    file = tmp_path / f"example.{ {'sh': 'sh', 'js': 'mjs', 'python': 'py'}[language] }"
    file.write_text(code.replace(USUAL, server))
    programs = {"sh": ["bash", "-euo", "pipefail"], "js": ["node"], "python": [sys.executable]}
    done = subprocess.run(
        [*programs[language], file], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, f"{title}:\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), f"{title} printed nothing"
