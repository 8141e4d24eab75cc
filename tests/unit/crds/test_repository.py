"""What a caller may name as a source and as a destination: everything else is refused, with what would be right."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from berth_api.model_deployment import MODEL_PATH_PATTERN
from berth_api.model_download import ModelDownloadSpec, default_destination, destination_of, download_name
from berth_api.repository import (
    DESTINATION_PATTERN,
    InvalidSourceError,
    Source,
    checked_destination,
    checked_globs,
    checked_quantization,
    checked_repository,
    checked_revision,
    parse_source,
)

HUB = ["https://huggingface.co"]
T = TypeVar("T")

MIRROR = ["https://mirror.example.com/api/models", "http://[fd00::1]:8080"]


def outcome(call: Callable[[], T]) -> T | InvalidSourceError:
    """What the call returned, or with what it refused."""
    try:
        return call()
    except InvalidSourceError as refused:
        return refused


@pytest.mark.parametrize(
    ("text", "hubs", "source"),
    [
        ("org/name", HUB, Source("org/name", "main")),
        ("org/name@v1.0", HUB, Source("org/name", "v1.0")),
        ("org/name@refs/pr/7", HUB, Source("org/name", "refs/pr/7")),
        ("https://huggingface.co/org/name", HUB, Source("org/name", "main")),
        ("https://huggingface.co/org/name/", HUB, Source("org/name", "main")),
        ("HTTPS://HuggingFace.co:443/org/Name", HUB, Source("org/Name", "main")),
        ("https://huggingface.co/org/name/tree/v2", HUB, Source("org/name", "v2")),
        ("https://huggingface.co/org/name/tree/refs/pr/7", HUB, Source("org/name", "refs/pr/7")),
        ("https://mirror.example.com/api/models/org/name", MIRROR, Source("org/name", "main")),
        ("http://[FD00::1]:8080/org/name", MIRROR, Source("org/name", "main")),
    ],
)
def test_a_source_is_a_name_or_a_url_of_an_allowed_hub(text: str, hubs: list[str], source: Source) -> None:
    assert parse_source(text, hubs) == source


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("", "url", "write org/name"),
        ("name", "repository", "write org/name"),
        ("a/b/c", "repository", "write org/name"),
        ("org/name@", "revision", "name a branch, a tag or a commit"),
        ("org/name@--upload", "revision", "name a branch"),
        ("org/name@a..b", "revision", "name a branch"),
        ("org/na..me", "repository", "write org/name"),
        ("../name", "repository", "write org/name"),
        ("org/.name", "repository", "write org/name"),
        ("org/name\n", "url", "write org/name"),
        ("\u043erg/name", "url", "write org/name"),
        ("org/n\uff41me", "url", "write org/name"),
        ("datasets/name", "repository", "only repositories of models"),
        ("https://huggingface.co/datasets/org/name", "url", "only repositories of models"),
        ("https://evil.example.com/org/name", "url", "on another hub than may be used here: https://huggingface.co"),
        ("https://huggingface.co.example.com/org/name", "url", "on another hub than may be used here"),
        ("http://huggingface.co/org/name", "url", "on another hub than may be used here"),
        ("https://huggingface.co:8443/org/name", "url", "on another hub than may be used here"),
        ("https://user:secret@huggingface.co/org/name", "url", "no user name or password"),
        ("https://huggingface.co@evil.example.com/org/name", "url", "no user name or password"),
        ("https://huggingface.co\\@evil.example.com/org/name", "url", "no user name or password"),
        ("file:///etc/passwd", "url", "not a URL that can be used"),
        ("ftp://huggingface.co/org/name", "url", "has the scheme ftp"),
        ("https://huggingface.co/org%2f..%2fname", "url", "encoded characters"),
        ("https://huggingface.co/org/name?x=1", "url", "encoded characters"),
        ("https://huggingface.co/org/name#x", "url", "encoded characters"),
        ("https://huggingface.co/org/../other/name", "url", "is not a repository's"),
        ("https://huggingface.co//org/name", "url", "is not a repository's"),
        ("https://huggingface.co/org", "url", "is not a repository's"),
        ("https://huggingface.co/org/name/blob/main/model.gguf", "url", "the file in `include`"),
        ("https://huggingface.co/" + "a" * 5000, "url", "write org/name"),
    ],
)
def test_anything_else_is_refused_with_what_would_be_right(text: str, field: str, said: str) -> None:
    with pytest.raises(InvalidSourceError) as refused:
        parse_source(text, HUB)
    assert refused.value.field == field
    assert said in refused.value.message


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(InvalidSourceError) as refused:
        parse_source("https://user:secret@huggingface.co/org/name", HUB)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["x", "folder/x", "SmolLM2-135M-Instruct-GGUF-Q4_K_M", "a+b=c.d", "_x"])
def test_a_destination_is_one_or_two_folders(text: str) -> None:
    assert checked_destination(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/x",
        "x/",
        "a/b/c",
        ".x",
        "a/.x",
        "..",
        "a/..",
        "a//b",
        "a\\b",
        "a b",
        "a\n",
        "a\x00",
        "é",
        "x.gguf",
        "lost+found/a",
        "x" * 161,
    ],
)
def test_no_destination_leads_out_of_the_store_or_hides_in_it(text: str) -> None:
    with pytest.raises(InvalidSourceError) as refused:
        checked_destination(text)
    assert refused.value.field == "destination"


@given(st.text(max_size=400))
@example("a/../b")
@example("a\n")
def test_a_destination_that_is_accepted_is_a_path_that_engines_may_load(text: str) -> None:
    destination = outcome(lambda: checked_destination(text))
    if isinstance(destination, InvalidSourceError):
        return
    path = f"/models/{destination}"
    assert re.fullmatch(MODEL_PATH_PATTERN, path)
    assert str(PurePosixPath(path)) == path
    assert not any(part.startswith(".") for part in PurePosixPath(path).parts)


NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,100}", fullmatch=True)
PIECES = st.sampled_from(
    [
        "https://",
        "http://",
        "huggingface.co",
        "/",
        "..",
        "%2e",
        "@",
        ":",
        "#",
        "?",
        "\\",
        "tree",
        "org",
        "name",
        "\n",
        "\u2024",
        "0",
    ]
)


@given(
    st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=14).map("".join), st.tuples(NAMES, NAMES).map("/".join))
)
def test_whatever_is_parsed_a_source_is_plain_ascii_of_the_allowed_hub(text: str) -> None:
    source = outcome(lambda: parse_source(text, HUB))
    if isinstance(source, InvalidSourceError):
        assert source.field in {"url", "repository", "revision"}
        assert len(source.message) < 600
        return
    assert re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", source.repository)
    assert ".." not in source.repository + source.revision
    assert checked_repository(source.repository) == source.repository
    assert checked_revision(source.revision) == source.revision
    if "://" in text:
        assert text.lower().startswith(("https://huggingface.co/", "https://huggingface.co:443/"))


@given(st.text(max_size=300), st.sampled_from([checked_quantization, checked_revision]))
def test_no_other_text_looks_like_an_option_or_a_path_upwards(text: str, check: Callable[[str], str]) -> None:
    accepted = outcome(lambda: check(text))
    if isinstance(accepted, InvalidSourceError):
        return
    assert not accepted.startswith(("-", "/", "."))
    assert accepted.isascii()
    assert accepted.isprintable()


@given(st.text(max_size=300))
def test_no_pattern_of_file_names_is_an_option_or_a_variable(text: str) -> None:
    globs = outcome(lambda: checked_globs("include", [text]))
    if isinstance(globs, InvalidSourceError):
        assert globs.field == "include"
        return
    [glob] = globs
    assert not glob.startswith(("-", "/"))
    assert "$" not in glob
    assert ".." not in glob.split("/")


@given(NAMES, st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}", fullmatch=True))
def test_the_default_destination_is_always_one(name: str, quantization: str | None) -> None:
    repository = outcome(lambda: checked_repository(f"org/{name}"))
    if isinstance(repository, InvalidSourceError):
        return
    assert re.fullmatch(DESTINATION_PATTERN, default_destination(repository, quantization))


def test_the_same_content_has_the_same_name_and_other_content_another() -> None:
    spec = ModelDownloadSpec(repository="org/SmolLM2-GGUF", quantization="Q4_K_M", include=["a", "b"])
    name = download_name(spec)
    assert re.fullmatch(r"smollm2-gguf-q4-k-m-[0-9a-f]{10}", name)
    assert destination_of(spec) == "SmolLM2-GGUF-Q4_K_M"
    same = spec.model_copy(
        update={"quantization": "q4_k_m", "include": ["b", "a", "b"], "destination": "SmolLM2-GGUF-Q4_K_M"}
    )
    assert download_name(same) == name
    for change in (
        {"revision": "v2"},
        {"destination": "x"},
        {"quantization": "Q4_K_S"},
        {"include": ["a"]},
        {"exclude": ["a"]},
    ):
        assert download_name(spec.model_copy(update=change)) != name
    longest = spec.model_copy(update={"destination": "x" * 160})
    assert len(download_name(longest)) <= 52
