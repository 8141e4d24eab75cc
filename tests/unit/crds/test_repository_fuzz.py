"""Any source and any destination is refused, or means a repository of the hub and a folder of the store.

corpus/sources.txt and corpus/destinations.txt hold what has once been tried against such parsers, a line each, with
Python's escapes.
"""

import os.path
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from berth_api.model_deployment import MODEL_PATH_PATTERN, MODEL_STORE
from berth_api.model_download import ModelDownloadSpec, destination_of, download_name
from berth_api.repository import (
    DEFAULT_HUB,
    InvalidSourceError,
    Source,
    checked_destination,
    checked_globs,
    checked_revision,
    parse_source,
)
from tests.unit.examples import examples

CORPUS = Path(__file__).parent / "corpus"
HUBS = (DEFAULT_HUB, "http://127.0.0.1:8080/hub")

NAME = re.compile(r"[A-Za-z0-9._-]+")

fuzzed = settings(max_examples=examples(1000), deadline=500)

SCHEMES = ["https", "http", "ftp", "file", "://", ":", "/", "//", "\\", "https://user:secret@"]
HOSTS = [
    "huggingface.co",
    "HuggingFace.co.",
    "evil.example",
    "127.0.0.1",
    "[::1]",
    ":443",
    ":99999",
    "user:secret@",
    "@",
    "?",
    "#",
    "&",
]
SEGMENTS = [
    "org",
    "name",
    "tree",
    "main",
    "blob",
    "resolve",
    "datasets",
    "refs/pr/1",
    ".git",
    ".gguf",
    "models",
    ".hidden",
    "lost+found",
]
MARKS = [
    "%2e",
    "%2f",
    "%00",
    "%",
    "..",
    ".",
    "-",
    "--",
    "~",
    "$",
    "$(X)",
    ";",
    "|",
    "`",
    "'",
    '"',
    "{",
    "*",
    "+",
    "_",
    "A",
    "0",
]
CHARACTERS = ["\u0130", "\u2215", "\uff0e", "\u202e", "\0", "\n", "\r", "\t", "\u00a0", " "]
PIECES = st.sampled_from([*SCHEMES, *HOSTS, *SEGMENTS, *MARKS, *CHARACTERS])
TEXTS = st.text(max_size=60) | st.lists(PIECES, max_size=12).map("".join)
URLS = st.builds(
    "".join,
    st.tuples(st.sampled_from([*HUBS, "https://huggingface.co:443", "HTTPS://HUGGINGFACE.CO"]), st.just("/"), TEXTS),
)


def lines(name: str) -> list[str]:
    return [
        line.encode("latin-1", "backslashreplace").decode("unicode_escape")
        for line in (CORPUS / name).read_text().splitlines()
    ]


def check_refusal(error: InvalidSourceError, *fields: str) -> None:
    """It names the field, and can be shown anywhere."""
    assert error.field in fields
    assert error.message.isascii()
    assert error.message.isprintable()
    assert len(error.message) < 600


def check_silence(error: InvalidSourceError) -> None:
    assert "secret" not in error.message


def check_source(text: str) -> Source | None:
    """The source, if the text is taken; asserts that it means a repository of an allowed hub and nothing else."""
    try:
        source = parse_source(text, HUBS)
    except InvalidSourceError as error:
        check_refusal(error, "url", "repository", "revision")
        if re.match("[a-z]+://user:secret@", text):
            check_silence(error)
        return None
    owner, name = source.repository.split("/")
    for part in (owner, name):
        assert NAME.fullmatch(part)
        assert part[0] not in ".-"
        assert ".." not in part
    assert checked_revision(source.revision) == source.revision
    assert not source.revision.startswith("-")
    for part in source.revision.split("/"):
        assert part not in ("", ".", "..")
    for hub in HUBS:
        made = urljoin(f"{hub}/", f"{source.repository}/resolve/{source.revision}/x")
        assert made == f"{hub}/{source.repository}/resolve/{source.revision}/x"
        assert urlsplit(made).netloc == urlsplit(hub).netloc
    return source


def check_destination(text: str) -> bool:
    """Whether it is taken; asserts that it lies in the store then, in sight, and that a request can ask for it."""
    try:
        destination = checked_destination(text)
    except InvalidSourceError as error:
        check_refusal(error, "destination")
        return False
    assert destination == text
    parts = PurePosixPath(destination).parts
    assert 1 <= len(parts) <= 2
    assert "/".join(parts) == destination
    assert not any(part.startswith((".", "-")) for part in parts)
    assert os.path.normpath(f"{MODEL_STORE}/{destination}") == f"{MODEL_STORE}/{destination}"
    assert re.fullmatch(MODEL_PATH_PATTERN, f"{MODEL_STORE}/{destination}")
    assert all(len(part.encode()) <= 255 for part in parts)
    return True


@pytest.mark.parametrize("text", lines("sources.txt"), ids=ascii)
def test_the_corpus_of_sources(text: str) -> None:
    assert check_source(text) is None


@pytest.mark.parametrize("text", lines("destinations.txt"), ids=ascii)
def test_the_corpus_of_destinations(text: str) -> None:
    assert not check_destination(text)


@fuzzed
@given(text=TEXTS | URLS)
@example(text=f"{DEFAULT_HUB}/org/name/tree/refs/pr/1")
def test_any_source_is_refused_or_a_repository(text: str) -> None:
    check_source(text)


@fuzzed
@given(text=TEXTS)
@example(text="org/name")
def test_any_destination_is_refused_or_in_the_store(text: str) -> None:
    check_destination(text)


@fuzzed
@given(text=TEXTS)
def test_no_pattern_of_files_is_an_option_or_a_variable(text: str) -> None:
    try:
        [glob] = checked_globs("include", [text])
    except InvalidSourceError:
        return
    assert not glob.startswith(("-", "/"))
    assert "$" not in glob
    assert "\0" not in glob
    assert ".." not in glob.split("/")


@fuzzed
@given(source=TEXTS, destination=TEXTS | st.none())
def test_the_resource_takes_what_the_parser_takes(source: str, destination: str | None) -> None:
    """The same rules wherever a download comes from: what `kubectl apply` may bring is no more than the API takes."""
    try:
        spec = ModelDownloadSpec(repository=source, destination=destination)
    except ValidationError:
        return
    assert check_source(spec.repository) == Source(spec.repository, "main")
    assert check_destination(destination_of(spec)) or destination is None
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", download_name(spec))
    assert len(download_name(spec)) <= 63
