"""The chat template that a model brings."""

import json
from pathlib import Path

import pytest

from berth_formats.chat_template import chat_template
from berth_formats.errors import FormatError
from tests.unit.formats.weights import TEMPLATE, write_checkpoint, write_gguf

LONG = "{{ messages }}" * 1000


def template_of(directory: Path) -> str | None:
    files = [(str(file.relative_to(directory)), file.stat().st_size) for file in directory.rglob("*") if file.is_file()]
    return chat_template(directory, files)


@pytest.mark.parametrize("template", [TEMPLATE, LONG, None])
def test_gguf_has_it_in_its_header(tmp_path: Path, template: str | None) -> None:
    write_gguf(tmp_path / "model.gguf", template=template)
    assert template_of(tmp_path) == template


def test_one_that_is_too_long_is_none(tmp_path: Path) -> None:
    write_gguf(tmp_path / "model.gguf", template="x" * (1024 * 1024 + 1))
    assert template_of(tmp_path) is None


def test_a_checkpoint_has_it_beside_its_weights(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    assert template_of(tmp_path) == TEMPLATE
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "second"}))
    assert template_of(tmp_path) == "second"
    (tmp_path / "chat_template.jinja").write_text("first")
    assert template_of(tmp_path) == "first"


@pytest.mark.parametrize(
    ("templates", "found"),
    [
        ([{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}], "b"),
        ([{"name": "tool_use", "template": "a"}, 5], None),
        (None, None),
        (5, None),
    ],
)
def test_of_several_the_default_one_counts(tmp_path: Path, templates: object, found: str | None) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    assert template_of(tmp_path) == found


@pytest.mark.parametrize("content", ["{", "[" * 100_000])
def test_what_is_not_json_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(FormatError, match="is not JSON"):
        template_of(tmp_path)


def test_a_model_without_files_has_none(tmp_path: Path) -> None:
    assert template_of(tmp_path) is None
