"""Every block of EXAMPLES.md does what the page says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.e2e.release import ROOT, Release

PAGE = (ROOT / "EXAMPLES.md").read_text()
BLOCKS = re.findall(r"^## (?P<title>[^\n]+)$|^```(?P<language>\w+)\n(?P<code>.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NODE_CLIENT = "openai@7"


def titled() -> list[tuple[str, str, str]]:
    """(title, language, code) of every block."""
    title, blocks = "Examples", list[tuple[str, str, str]]()
    for heading, language, code in BLOCKS:
        title = heading or title
        if language:
            blocks.append((title, language, code))
    return blocks


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """A folder with OpenAI's Node client."""
    if shutil.which("npm") is None:
        missing("npm", "install Node.js 20 or newer")
    cache = Path(
        os.environ.get("BERTH_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "berth"
    )
    folder = cache / "node" / NODE_CLIENT
    if not (folder / "node_modules/openai/package.json").exists():
        command = ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error", NODE_CLIENT]
        subprocess.run(command, check=True, timeout=300)
    return folder / "node_modules"


@pytest.mark.parametrize(("title", "language", "code"), titled(), ids=lambda value: value.split("\n")[0][:30])
def test_example(release: Release, node_modules: Path, tmp_path: Path, title: str, language: str, code: str) -> None:
    environment = {**os.environ, "OPENAI_BASE_URL": f"{release.url}/v1", "OPENAI_API_KEY": release.api_key}
    match language:
        case "sh":
            command = ["bash", "-euo", "pipefail", "-c", code]
        case "python":
            command = [sys.executable, "-c", code]
        case "js":
            (tmp_path / "node_modules").symlink_to(node_modules)
            (tmp_path / "example.mjs").write_text(code)
            command = ["node", str(tmp_path / "example.mjs")]
        case "yaml":
            (tmp_path / "values.yaml").write_text(code)
            command = [
                "helm",
                "template",
                "berth",
                str(ROOT / "charts/berth"),
                "--values",
                str(tmp_path / "values.yaml"),
            ]
        case _:
            pytest.fail(f"{title}: no way to run a block of {language}")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{title}:\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), f"{title} printed nothing"
