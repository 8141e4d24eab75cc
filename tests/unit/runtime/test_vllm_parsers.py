"""The parsers that vLLM gets for a model, by its architecture and by marks in its chat template."""

from pathlib import Path

import pytest

from berth_runtime.engines.vllm_parsers import (
    REASONING_PARSERS,
    TOOL_PARSERS,
    ParserRow,
    Parsers,
    parser_arguments,
    parsers_for,
)
from berth_runtime.main import engine_call
from tests.unit.runtime.model_files import put

TOOL_NAMES = [
    "apertus",
    "cohere_command3",
    "cohere_command4",
    "deepseek_v3",
    "deepseek_v31",
    "deepseek_v32",
    "deepseek_v4",
    "deepseek_v41",
    "dots",
    "ernie45",
    "functiongemma",
    "gemma4",
    "gigachat3",
    "glm45",
    "glm47",
    "granite",
    "granite-20b-fc",
    "granite4",
    "hermes",
    "hf",
    "hunyuan_a13b",
    "hy_v3",
    "hy_v4",
    "inkling",
    "internlm",
    "jamba",
    "k2_horizon",
    "kimi_k2",
    "kimi_k3",
    "lfm2",
    "ling3",
    "llama3_json",
    "llama4_json",
    "llama4_pythonic",
    "longcat",
    "mimo",
    "minicpm5",
    "minimax_m2",
    "minimax_m3",
    "mistral",
    "muse_glimmer",
    "olmo3",
    "openai",
    "phi4_mini_json",
    "plamo3",
    "poolside_v1",
    "pythonic",
    "qwen3_coder",
    "qwen3_json",
    "qwen3_xml",
    "seed_oss",
    "step3",
    "step3p5",
    "xlam",
]
"""The names that vLLM 0.32 registers in vllm/tool_parsers/__init__.py."""

REASONING_NAMES = [
    "cohere_command3",
    "cohere_command4",
    "deepseek_r1",
    "deepseek_v3",
    "deepseek_v4",
    "deepseek_v41",
    "ernie45",
    "gemma4",
    "glm45",
    "glm47",
    "granite",
    "granite_thinking_parser",
    "hf",
    "holo2",
    "hunyuan_a13b",
    "hy_v3",
    "hy_v4",
    "inkling",
    "k2_horizon",
    "kimi_k2",
    "kimi_k3",
    "ling3",
    "mimo",
    "minicpmv",
    "minimax_m2",
    "minimax_m2_append_think",
    "minimax_m3",
    "mistral",
    "muse_glimmer",
    "nemotron_v3",
    "olmo3",
    "openai_gptoss",
    "plamo3",
    "poolside_v1",
    "qwen3",
    "seed_oss",
    "step3",
    "step3p5",
]
"""The names that vLLM 0.32 registers in vllm/reasoning/__init__.py."""

HERMES = '{{- \'<tool_call>\\n{"name": "\' }}'
HYBRID = "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>' }}"
THINKS_FIRST = "{{- '<|im_start|>assistant\\n<think>\\n' }}"
XML = "<tool_call>\n<function=name>\n<parameter=a>"


@pytest.mark.parametrize("row", TOOL_PARSERS, ids=lambda row: row.family)
def test_vllm_knows_each_tool_parser(row: ParserRow) -> None:
    assert row.parser in TOOL_NAMES
    assert row.architectures or row.marks, "it would fit every model"


@pytest.mark.parametrize("row", REASONING_PARSERS, ids=lambda row: row.family)
def test_vllm_knows_each_reasoning_parser(row: ParserRow) -> None:
    assert row.parser in REASONING_NAMES
    assert row.architectures or row.marks, "it would fit every model"


@pytest.mark.parametrize(
    ("architecture", "template", "tools", "reasoning"),
    [
        ("Qwen2ForCausalLM", HERMES, "hermes", None),
        ("Qwen2ForCausalLM", HERMES + THINKS_FIRST, "hermes", "deepseek_r1"),  # QwQ
        ("Qwen2ForCausalLM", "{{'<｜Assistant｜><think>\\n'}}", None, "deepseek_r1"),  # noqa: RUF001 (a distilled R1)
        ("Qwen3ForCausalLM", HERMES + HYBRID, "hermes", "qwen3"),
        ("Qwen3MoeForCausalLM", HERMES + THINKS_FIRST, "hermes", "qwen3"),  # Qwen3-...-Thinking-2507
        ("Qwen3MoeForCausalLM", HERMES, "hermes", None),  # Qwen3-...-Instruct-2507 does not think
        ("Qwen3MoeForCausalLM", XML, "qwen3_xml", None),  # Qwen3-Coder
        ("Qwen3_5MoeForConditionalGeneration", XML + HYBRID, "qwen3_xml", "qwen3"),
        ("NemotronHForCausalLM", XML + HYBRID, "qwen3_xml", "nemotron_v3"),
        ("LlamaForCausalLM", "Environment: ipython", "llama3_json", None),
        ("LlamaForCausalLM", HERMES, "hermes", None),
        ("LlamaForCausalLM", "{{ message.content }}", None, None),
        ("MistralForCausalLM", "[AVAILABLE_TOOLS][TOOL_CALLS]", "mistral", None),
        ("Mistral3ForConditionalGeneration", "[TOOL_CALLS][THINK]", "mistral", "mistral"),
        ("GptOssForCausalLM", None, "openai", "openai_gptoss"),
        ("Glm4MoeForCausalLM", "<tool_call><arg_key><think>", "glm45", "glm45"),
        ("GraniteForCausalLM", "<|tool_call|>", "granite", None),
        ("GraniteMoeHybridForCausalLM", HERMES, "granite4", None),
        ("SeedOssForCausalLM", "<seed:tool_call><function=<seed:think>", "seed_oss", "seed_oss"),
        ("HunYuanMoEV1ForCausalLM", "<tool_calls><think>", "hunyuan_a13b", "hunyuan_a13b"),
        ("Qwen3ForCausalLM", None, None, None),
    ],
)
def test_a_model_gets_the_parsers_of_its_family(
    architecture: str, template: str | None, tools: str | None, reasoning: str | None
) -> None:
    assert parsers_for({"architectures": [architecture]}, template) == Parsers(tools, reasoning)


@pytest.mark.parametrize("config", [{}, {"architectures": None}, {"architectures": "LlamaForCausalLM"}])
def test_a_model_that_names_no_architecture_is_known_by_its_template(config: dict[str, object]) -> None:
    assert parsers_for(config, HERMES) == Parsers("hermes", None)


@pytest.mark.parametrize(
    ("tools", "reasoning", "arguments"),
    [
        (None, None, "--enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3"),
        ("qwen3_json", None, "--enable-auto-tool-choice --tool-call-parser qwen3_json --reasoning-parser qwen3"),
        (None, "none", "--enable-auto-tool-choice --tool-call-parser hermes"),
        ("none", "none", ""),
    ],
)
def test_a_stated_parser_counts_more(tools: str | None, reasoning: str | None, arguments: str) -> None:
    assert parser_arguments(Parsers("hermes", "qwen3"), tools, reasoning) == arguments.split()
    assert parser_arguments(Parsers(None, None), None, None) == []


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
def test_the_launcher_reads_the_template_where_it_is(tmp_path: Path, place: str) -> None:
    model = put(tmp_path / "m", "model.safetensors", content=b"weights")
    put(model, "config.json", content=b'{"architectures": ["Qwen3ForCausalLM"]}')
    text = "<tool_call> enable_thinking"
    put(model, place, content=text.encode() if place.endswith("jinja") else f'{{"chat_template": "{text}"}}'.encode())
    call = engine_call(["vllm", "--model", str(model), "--device", "cuda"])
    assert "--enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser qwen3" in call.line()
    stated = engine_call(["vllm", "--model", str(model), "--device", "cuda", "--tool-call-parser", "none"])
    assert "tool-call-parser" not in stated.line()


def test_a_template_that_cannot_be_read_keeps_no_model_from_starting(tmp_path: Path) -> None:
    model = put(tmp_path / "m", "model.safetensors", content=b"weights")
    put(model, "config.json", content=b"{}")
    put(model, "tokenizer_config.json", content=b"{")
    assert "parser" not in engine_call(["vllm", "--model", str(model), "--device", "cuda"]).line()
