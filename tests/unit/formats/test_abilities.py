"""What a model can do, by its files: tables of what llama.cpp's and Hugging Face's converters write."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from berth_formats.abilities import Abilities, checkpoint_abilities, gguf_abilities
from berth_formats.describe import describe
from tests.unit.formats.weights import write_checkpoint, write_gguf

PLAIN = "{% for message in messages %}{{ message.content }}{% endfor %}"
TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}"

CHAT = Abilities("chat")
EMBEDDING, RERANK = Abilities("embedding"), Abilities("rerank")


@pytest.mark.parametrize(
    ("template", "found"),
    [
        (PLAIN, CHAT),
        (None, Abilities("completion")),
        ("", Abilities("completion")),
        (TOOLS, Abilities("chat", tools=True)),
        ("{% for call in message.tool_calls %}", CHAT),  # it shows calls, but not which tools there are
        ("{% if enable_thinking is defined %}", Abilities("chat", thinking=True)),
        ("{% set content = content.split('</think>')[-1] %}", Abilities("chat", thinking=True)),
        ("{{ message.reasoning_content }}", Abilities("chat", thinking=True)),
        ("{{ reasoning_effort }}", Abilities("chat", thinking=True)),
        ("{%- if thinking %}<|start|>{% endif %}", Abilities("chat", thinking=True)),
        ("[THINK]{{ text }}[/THINK]", Abilities("chat", thinking=True)),
        ("You are good at thinking. {{ messages }}", CHAT),
        ("{% if item.type == 'image' %}", CHAT),  # its projector is not there
    ],
)
def test_what_a_ggufs_chat_template_tells(template: str | None, found: Abilities) -> None:
    assert gguf_abilities("m", "llama", None, template, ["m.gguf"]) == found


@pytest.mark.parametrize(
    ("name", "architecture", "pooling", "found"),
    [
        ("SmolLM2", "llama", None, CHAT),
        ("SmolLM2", "llama", 0, CHAT),
        ("SmolLM2", "llama", -1, CHAT),
        ("nomic", "nomic-bert", 1, EMBEDDING),
        ("nomic", "nomic-bert-moe", None, EMBEDDING),
        ("m", "bert", 0, EMBEDDING),
        ("m", "t5encoder", None, EMBEDDING),
        ("m", "gemma-embedding", None, EMBEDDING),
        ("Qwen3", "qwen3", 3, EMBEDDING),
        ("Qwen3-Embedding-0.6B", "qwen3", None, EMBEDDING),
        ("bge-m3", "llama", None, EMBEDDING),
        ("e500-chat", "llama", None, CHAT),
        ("jina", "bert", 4, RERANK),
        ("Qwen3", "qwen3", 4, RERANK),
        ("bge-reranker-v2-m3", "bert", None, RERANK),
    ],
)
def test_what_a_gguf_is_for(name: str, architecture: str, pooling: int | None, found: Abilities) -> None:
    assert gguf_abilities(name, architecture, pooling, PLAIN, ["m.gguf"]) == found


def test_a_gguf_sees_with_its_projector() -> None:
    assert gguf_abilities("m", "gemma3", None, PLAIN, ["m.gguf", "mmproj-F16.gguf"]) == Abilities("chat", vision=True)


@pytest.mark.parametrize(
    ("name", "config", "files", "found"),
    [
        ("m", {"architectures": ["LlamaForCausalLM"]}, [], CHAT),
        ("m", {"architectures": ["GPT2LMHeadModel"]}, [], CHAT),
        ("m", {}, [], CHAT),
        ("m", {"architectures": [5], "model_type": 5}, [], CHAT),
        ("m", {"architectures": ["Qwen3Model"]}, [], EMBEDDING),
        ("m", {"architectures": ["BertForMaskedLM"]}, [], EMBEDDING),
        ("m", {"model_type": "xlm-roberta"}, [], EMBEDDING),
        ("m", {"architectures": ["Qwen3ForCausalLM"]}, ["modules.json"], EMBEDDING),
        ("Qwen3-Embedding-0.6B", {"architectures": ["Qwen3ForCausalLM"]}, [], EMBEDDING),
        ("m", {"architectures": ["XLMRobertaForSequenceClassification"]}, [], RERANK),
        ("Qwen3-Reranker-0.6B", {"architectures": ["Qwen3ForCausalLM"]}, ["modules.json"], RERANK),
        (
            "m",
            {"architectures": ["Gemma3ForConditionalGeneration"], "vision_config": {}},
            [],
            Abilities("chat", vision=True),
        ),
    ],
)
def test_what_a_checkpoint_is_for(name: str, config: dict[str, Any], files: list[str], found: Abilities) -> None:
    assert checkpoint_abilities(name, config, PLAIN, files) == found


def test_a_checkpoint_whose_template_takes_images_sees() -> None:
    template = "{% if item['type'] == 'image' %}"
    assert checkpoint_abilities("m", {}, template, []) == Abilities("chat", vision=True)


def test_a_second_template_for_tools_counts(tmp_path: Path) -> None:
    named = [{"name": "default", "template": PLAIN}, {"name": "tool_use", "template": TOOLS}]
    write_checkpoint(tmp_path / "m")
    (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert describe(tmp_path / "m").abilities == Abilities("chat", tools=True)
    assert describe(_gguf_with_two_templates(tmp_path / "two.gguf")).abilities == Abilities("chat", tools=True)


def _gguf_with_two_templates(path: Path) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_chat_template([{"name": "default", "template": PLAIN}, {"name": "tool_use", "template": TOOLS}])
    writer.add_tensor("token_embd.weight", np.zeros((3, 64), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_long_template_is_read_to_its_end(tmp_path: Path) -> None:
    found = describe(write_gguf(tmp_path / "m.gguf", template="x" * 100_000 + TOOLS))
    assert found.abilities == Abilities("chat", tools=True)


def test_a_tokenizer_that_is_damaged_does_not_make_the_model_unreadable(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "m")
    (tmp_path / "m" / "tokenizer_config.json").write_text("{")
    assert describe(tmp_path / "m").abilities == Abilities("completion")
