"""/api/tags, /api/ps and /api/show."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from berth_formats.abilities import Abilities
from berth_formats.model import AttentionShape, ModelDescription
from berth_router.ollama.inventory import (
    VERSION,
    KnownModel,
    RunningModel,
    capabilities,
    digest_of,
    readable_count,
    running,
    shown,
    tags,
)

SMOL = ModelDescription(
    format="gguf",
    architecture="llama",
    parameters=134_515_008,
    quantization="Q8_0",
    context_length=8192,
    has_chat_template=True,
    file_bytes=144_811_360,
    attention=AttentionShape(30, 576, 9, (3,) * 30, 64, 64),
    feed_forward_length=1536,
    vocabulary_size=49152,
    abilities=Abilities("chat", tools=True),
)
MODEL = KnownModel(
    path="/models/SmolLM2",
    modified=1_769_860_800,
    size=144_811_360,
    description=SMOL,
    chat_template="{% if tools %}<tool_call>{% endif %}",
)
BARE = KnownModel(path="/models/team/other", modified=0, size=5)

DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "134.52M",
    "quantization_level": "Q8_0",
}


def test_tags_name_each_model_with_its_tag() -> None:
    known, bare = tags([MODEL, BARE])["models"]
    assert known == {
        "name": "SmolLM2:latest",
        "model": "SmolLM2:latest",
        "modified_at": "2026-01-31T12:00:00.000000Z",
        "size": 144_811_360,
        "digest": digest_of(MODEL),
        "details": DETAILS,
    }
    assert bare["name"] == "team/other:latest"
    assert bare["details"] == {**dict.fromkeys(DETAILS, ""), "families": []}


def test_a_digest_is_the_same_until_the_model_changes() -> None:
    assert re.fullmatch("[0-9a-f]{64}", digest_of(MODEL))
    assert digest_of(replace(MODEL, description=None)) == digest_of(MODEL)
    others = [replace(MODEL, path="/models/a"), replace(MODEL, size=1), replace(MODEL, modified=1)]
    assert len({digest_of(model) for model in [MODEL, *others]}) == 4


def test_ps_says_until_when_and_where() -> None:
    expires_at = datetime(2026, 1, 31, 12, 5, tzinfo=UTC)
    on_gpu, for_ever = running(
        [RunningModel(MODEL, expires_at, 500_000_000, True, 4096), RunningModel(BARE, None, 0, False, None)]
    )["models"]
    assert on_gpu == {
        "name": "SmolLM2:latest",
        "model": "SmolLM2:latest",
        "size": 500_000_000,
        "size_vram": 500_000_000,
        "digest": digest_of(MODEL),
        "details": DETAILS,
        "expires_at": "2026-01-31T12:05:00.000000Z",
        "context_length": 4096,
    }
    assert (for_ever["size"], for_ever["size_vram"], for_ever["context_length"]) == (5, 0, 0)
    assert datetime.fromisoformat(for_ever["expires_at"]).year > 2200


def test_show_has_what_clients_read() -> None:
    shown_model = shown(MODEL, 2048)
    assert shown_model["details"] == DETAILS
    assert shown_model["parameters"] == "num_ctx 2048"
    assert shown_model["template"] == MODEL.chat_template
    assert shown_model["model_info"] == {
        "general.architecture": "llama",
        "general.parameter_count": 134_515_008,
        "llama.context_length": 8192,
        "llama.embedding_length": 576,
        "llama.block_count": 30,
        "llama.attention.head_count": 9,
        "llama.feed_forward_length": 1536,
        "llama.vocab_size": 49152,
    }


def test_show_of_a_model_that_was_not_read_has_the_same_fields() -> None:
    assert shown(BARE, None).keys() == shown(MODEL, 2048).keys()
    assert shown(BARE, None)["model_info"] == {}


def able(abilities: Abilities) -> KnownModel:
    return replace(MODEL, description=replace(SMOL, abilities=abilities))


CAPABILITIES = [
    (MODEL, ["completion", "tools"]),
    (BARE, ["completion"]),
    (able(Abilities("completion", vision=True)), ["completion", "vision"]),
    (able(Abilities("chat", tools=True, vision=True, thinking=True)), ["completion", "tools", "vision", "thinking"]),
    (able(Abilities("embedding", vision=True)), ["embedding"]),
    (able(Abilities("rerank")), ["embedding"]),
]


@pytest.mark.parametrize(("model", "found"), CAPABILITIES)
def test_capabilities(model: KnownModel, found: list[str]) -> None:
    assert capabilities(model) == found
    assert shown(model, None)["capabilities"] == found


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (22_000, "22K"), (134_515_008, "134.52M"), (8_000_000_000, "8B"), (8_030_261_248, "8.0B")],
)
def test_numbers_of_parameters_are_short(count: int, text: str) -> None:
    assert readable_count(count) == text


def test_the_version_is_digits_and_dots() -> None:
    assert [int(part) for part in VERSION["version"].split(".")]
