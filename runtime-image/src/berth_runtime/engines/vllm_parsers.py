"""Which parsers of vLLM fit a model: for the calls of tools in its answers, and for its reasoning. Pure.

vLLM parses neither unless it is told how a model writes them, and a wrong parser loses answers or does not start. So a
row asks for two things: the architecture that `config.json` names, and marks in the chat template, which writes earlier
calls and reasoning as the model does. The first row that fits counts; rows without an architecture come last.

The names are those of vLLM 0.32 (`vllm/tool_parsers/__init__.py`, `vllm/reasoning/__init__.py`). The families are those
of its pages tool_calling.md and reasoning_outputs.md, and of the parsers' own descriptions. Left out are families that
need another template than their own, or a package that vLLM does not bring.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

NONE = "none"
"""The name that stands for no parser."""

_TOOLS = "features/tool_calling"
_REASONING = "features/reasoning_outputs"


class ParserRow(NamedTuple):
    """One family of models, and the parser for it."""

    family: str
    parser: str
    source: str
    """Where vLLM says so: a page below https://docs.vllm.ai/en/stable/, or a file of its package."""
    architectures: frozenset[str] = frozenset()
    """The names in `config.json`, one of which the model must have. Empty: any."""
    marks: tuple[str, ...] = ()
    """Texts, one of which the chat template must have. Empty: it may lack any, or be missing."""

    def fits(self, architectures: Sequence[str], template: str) -> bool:
        """Whether the row is for a model with these architectures and this template."""
        named = not self.architectures or not self.architectures.isdisjoint(architectures)
        return named and (not self.marks or any(mark in template for mark in self.marks))


class Parsers(NamedTuple):
    """The parsers of a model. None: it has none."""

    tools: str | None
    reasoning: str | None


_GRANITE = frozenset({"GraniteForCausalLM", "GraniteMoeForCausalLM", "GraniteMoeHybridForCausalLM"})
_GLM = frozenset({"Glm4MoeForCausalLM", "Glm4vMoeForConditionalGeneration"})
_GLM_NEW = frozenset({"Glm4MoeLiteForCausalLM", "GlmMoeDsaForCausalLM"})
_GEMMA = frozenset({"Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"})
_HUNYUAN = frozenset({"HunYuanMoEV1ForCausalLM"})
_ERNIE = frozenset({"Ernie4_5_MoeForCausalLM", "Ernie4_5_VLMoeForConditionalGeneration"})
_DEEPSEEK = frozenset({"DeepseekV3ForCausalLM"})
_GPT_OSS = frozenset({"GptOssForCausalLM"})
_NEMOTRON = frozenset({"NemotronHForCausalLM"})
_OLMO = frozenset({"Olmo3ForCausalLM"})

_QWEN = frozenset(
    {
        *("Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Qwen3NextForCausalLM"),
        *("Qwen3_5ForCausalLM", "Qwen3_5MoeForCausalLM"),
        *("Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration"),
        *("Qwen3_5ForConditionalGeneration", "Qwen3_5MoeForConditionalGeneration"),
    }
)

_DEEPSEEK_CALL = "<｜tool▁call▁begin｜>"  # noqa: RUF001 (so it writes them)

_THINK_FIRST = ("<think>\\n'", '<think>\\n"')
"""The end of a template that has the model begin by thinking: the answer then has no opening mark."""

TOOL_PARSERS: tuple[ParserRow, ...] = (
    ParserRow("gpt-oss", "openai", _TOOLS, _GPT_OSS),
    ParserRow("Gemma 4", "gemma4", "vllm/parser/gemma4.py", _GEMMA, ("<|tool_call>",)),
    ParserRow("FunctionGemma", "functiongemma", _TOOLS, marks=("<start_function_call>",)),
    ParserRow("GLM-4.5, GLM-4.6", "glm45", _TOOLS, _GLM, ("<arg_key>",)),
    ParserRow("GLM-4.7", "glm47", _TOOLS, _GLM_NEW, ("<arg_key>",)),
    ParserRow("Granite 3.0", "granite", _TOOLS, _GRANITE, ("<|tool_call|>",)),
    ParserRow("Granite 4", "granite4", _TOOLS, _GRANITE, ("<tool_call>",)),
    ParserRow("DeepSeek-V3, DeepSeek-R1", "deepseek_v3", _TOOLS, _DEEPSEEK, (f"{_DEEPSEEK_CALL}' + tool['type']",)),
    ParserRow("DeepSeek-V3.1", "deepseek_v31", _TOOLS, _DEEPSEEK, (_DEEPSEEK_CALL,)),
    ParserRow("Kimi-K2", "kimi_k2", _TOOLS, marks=("<|tool_calls_section_begin|>",)),
    ParserRow("MiniMax-M2", "minimax_m2", "vllm/parser/minimax_m2.py", marks=("<minimax:tool_call>",)),
    ParserRow("Seed-OSS", "seed_oss", "vllm/parser/seed_oss.py", marks=("<seed:tool_call>",)),
    ParserRow("Hunyuan A13B", "hunyuan_a13b", _TOOLS, _HUNYUAN, ("<tool_calls>",)),
    ParserRow("Jamba 1.5", "jamba", _TOOLS, frozenset({"JambaForCausalLM"}), ("<tool_calls>",)),
    ParserRow("ERNIE 4.5", "ernie45", _REASONING, _ERNIE, ("<tool_call>",)),
    ParserRow("InternLM 2.5", "internlm", _TOOLS, frozenset({"InternLM2ForCausalLM"}), ("<|plugin|>",)),
    ParserRow("LongCat-Flash", "longcat", _TOOLS, marks=("<longcat_tool_call>",)),
    ParserRow("LFM2", "lfm2", "vllm/tool_parsers/lfm2_tool_parser.py", marks=("<|tool_call_start|>",)),
    ParserRow("Olmo 3", "olmo3", _TOOLS, _OLMO, ("<function_calls>",)),
    ParserRow("GigaChat 3", "gigachat3", _TOOLS, marks=("function call<|role_sep|>", "<|function_call|>")),
    ParserRow("Step-3.5", "step3p5", "vllm/parser/step3p5.py", frozenset({"Step3p5ForCausalLM"}), ("<function=",)),
    ParserRow("Qwen3-Coder, and other models with its XML", "qwen3_xml", _TOOLS, marks=("<function=",)),
    ParserRow("Mistral, Ministral, Magistral", "mistral", _TOOLS, marks=("[TOOL_CALLS]",)),
    ParserRow("Llama 3.1, 3.2, 3.3", "llama3_json", _TOOLS, marks=("Environment: ipython",)),
    ParserRow("Hermes, Qwen2.5, Qwen3, QwQ", "hermes", _TOOLS, marks=("<tool_call>",)),
)
"""How models write their calls of tools."""

REASONING_PARSERS: tuple[ParserRow, ...] = (
    ParserRow("gpt-oss", "openai_gptoss", "vllm/reasoning/gptoss_reasoning_parser.py", _GPT_OSS),
    ParserRow("Gemma 4", "gemma4", "vllm/parser/gemma4.py", _GEMMA, ("<|channel>",)),
    ParserRow("GLM-4.5, GLM-4.6", "glm45", _REASONING, _GLM, ("<think>",)),
    ParserRow("GLM-4.7", "glm47", "vllm/parser/glm47_moe.py", _GLM_NEW, ("<think>",)),
    ParserRow("Granite 3.2, 3.3", "granite", _REASONING, _GRANITE, ("Here is my thought process",)),
    ParserRow("DeepSeek-V3.1", "deepseek_v3", _REASONING, _DEEPSEEK, ("if thinking", "not thinking")),
    ParserRow("DeepSeek-R1", "deepseek_r1", _REASONING, _DEEPSEEK, ("</think>",)),
    ParserRow("MiniMax-M2", "minimax_m2_append_think", _REASONING, marks=("<minimax:tool_call>",)),
    ParserRow("Seed-OSS", "seed_oss", "vllm/parser/seed_oss.py", marks=("<seed:think>",)),
    ParserRow("Hunyuan A13B", "hunyuan_a13b", _REASONING, _HUNYUAN, ("<think>",)),
    ParserRow("ERNIE 4.5", "ernie45", _REASONING, _ERNIE, ("<think>",)),
    ParserRow("Olmo 3 Think", "olmo3", "vllm/reasoning/olmo3_reasoning_parser.py", _OLMO, ("<think>",)),
    ParserRow("Magistral", "mistral", "vllm/reasoning/mistral_reasoning_parser.py", marks=("[THINK]",)),
    ParserRow("Step-3.5", "step3p5", "vllm/parser/step3p5.py", frozenset({"Step3p5ForCausalLM"}), ("<think>",)),
    ParserRow(
        "Nemotron 3", "nemotron_v3", "vllm/parser/nemotron_v3.py", frozenset({"NemotronHForCausalLM"}), ("<think>",)
    ),
    ParserRow("Qwen3, Qwen3.5", "qwen3", _REASONING, _QWEN, ("enable_thinking", *_THINK_FIRST)),
    ParserRow(
        "QwQ, distilled DeepSeek-R1, and others that begin by thinking", "deepseek_r1", _REASONING, marks=_THINK_FIRST
    ),
)
"""How models write their reasoning."""


def parsers_for(config: Mapping[str, Any], template: str | None) -> Parsers:
    """The parsers for a model with this `config.json` and this chat template."""
    named = config.get("architectures")
    architectures = [str(name) for name in named] if isinstance(named, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return Parsers(_first(TOOL_PARSERS, architectures, template), _first(REASONING_PARSERS, architectures, template))


def _first(rows: Sequence[ParserRow], architectures: Sequence[str], template: str | None) -> str | None:
    return next((row.parser for row in rows if row.fits(architectures, template or "")), None)


def parser_arguments(found: Parsers, tools: str | None, reasoning: str | None) -> list[str]:
    """The options of `vllm serve`. `tools`, `reasoning`: stated names, which count more than those found."""
    tools, reasoning = tools or found.tools or NONE, reasoning or found.reasoning or NONE
    arguments: list[str] = []
    if tools != NONE:
        arguments += ["--enable-auto-tool-choice", "--tool-call-parser", tools]
    if reasoning != NONE:
        arguments += ["--reasoning-parser", reasoning]
    return arguments
