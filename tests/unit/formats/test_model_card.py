"""The licence of a model, as its card or its weights state it."""

from pathlib import Path

import pytest

from berth_formats.describe import describe
from berth_formats.model_card import licence_of
from tests.unit.formats.weights import write_checkpoint, write_gguf


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n", "apache-2.0"),
        ('---\r\nlicense: "mit"  # free\r\n---\r\n', "mit"),
        ("---\nlicense: other\nlicense_name: llama3.2\n---\n", "llama3.2"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense:\n- mit\n---\n", None),
        ("# A model\nlicense: mit\n", None),
        ("---\nlicense: mit\n", None),
        ("", None),
    ],
)
def test_a_card_states_the_licence(tmp_path: Path, card: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_bytes(card.encode())
    assert licence_of(tmp_path / "README.md") == licence
    assert licence_of(tmp_path / "absent") is None


def test_the_licence_of_a_model_is_that_of_its_weights_or_else_of_its_card(tmp_path: Path) -> None:
    write_gguf(tmp_path / "says" / "model.gguf", licence="gemma")
    write_checkpoint(tmp_path / "carded")
    for name in ("says", "carded"):
        (tmp_path / name / "README.md").write_text("---\nlicense: mit\n---\n")
    write_gguf(tmp_path / "alone.gguf")
    named = [describe(tmp_path / name).licence for name in ("says", "carded", "alone.gguf")]
    assert named == ["gemma", "mit", None]
