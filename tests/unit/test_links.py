"""The project's pages: every link leads to a file and a heading that are there, and every file that a page names is."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = [
    *("benchmarks", "charts", "cluster", "crds", "examples", "formats", "hub", "local", "operator", "process"),
    *("router", "runtime-image", "scripts", "tests"),
]
"""Where the files lie that pages name."""

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)(?P<path>[^)#\s]*)(?:#(?P<heading>[^)\s]*))?\)")


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead: list[str] = []
    for link in LINK.finditer(FENCE.sub("", page.read_text())):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        if not target.exists() or (link["heading"] and link["heading"] not in anchors(target)):
            dead.append(link[0])
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = re.sub(r"https?://[^)\s]+", "", page.read_text())
    named = re.findall(r"[\w./-]*\b\w[\w-]*\.(?:py|tpl|toml)\b", text)
    files = [str(file.relative_to(ROOT)) for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.is_file()]
    made = re.findall(r"^\$ cat (\S+)$", text, re.MULTILINE)  # a page that is a protocol shows what it makes
    named = [name for name in named if "NAME" not in name and name not in made]
    assert {name for name in named if not any(f"/{file}".endswith(f"/{name.lstrip('./')}") for file in files)} == set()


@pytest.mark.parametrize(
    ("title", "most"),
    [("A stream whose model does not run", 10), ("A model that nobody asks for any more", 6), ("A download", 12)],
)
def test_a_journey_through_the_code_is_short_and_comes_by_no_file_twice(title: str, most: int) -> None:
    section = (ROOT / "ARCHITECTURE.md").read_text().partition(f"### {title}\n")[2].partition("\n#")[0]
    files = re.findall(r"^\d+\. `([\w./-]+)`", section, re.MULTILINE)
    assert 0 < len(files) <= most
    assert len({*files}) == len(files)
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()
