"""Which clients are run, and what of each: the rows of docs/clients.md."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tests.e2e.wide_model import WIDE_MODEL

FOLDER = Path(__file__).parent
PYTHON = FOLDER / "python"
NODE = FOLDER / "node"

TOOLS_MODEL = "SmolLM2-tools"
"""The sample with a template for tools, which shows the model how to call them."""

Environment = Literal["newest", "older", "node"]

CHAT = ("chat", "stream", "cold stream", "tools", "JSON schema")
FEATURES = (*CHAT, "Responses", "errors", "cancel")
"""The columns: what a library may have. Its program has a function for each that it has."""


@dataclass(frozen=True)
class ForeignClient:
    """A client of another maker, and the program that uses it."""

    name: str
    package: str
    """As its registry calls it: the lock file has its version."""

    program: str
    features: Sequence[str]
    environment: Environment = "newest"
    model: str = TOOLS_MODEL
    faults: Mapping[str, str] = field(default_factory=dict[str, str])
    """Features that fail by the client's own fault: why."""

    @property
    def file(self) -> Path:
        """The program."""
        return (NODE if self.environment == "node" else PYTHON) / self.program

    @property
    def version(self) -> str:
        """What the lock file says."""
        return _npm()[self.package] if self.environment == "node" else _python(self.environment)[self.package]


NO_RESPONSES = (*CHAT, "errors", "cancel")

LIBRARIES = (
    ForeignClient("openai (Python)", "openai", "with_openai.py", FEATURES),
    ForeignClient("openai (Node)", "openai", "with_openai.mjs", FEATURES, "node"),
    ForeignClient("anthropic (Python)", "anthropic", "with_anthropic.py", NO_RESPONSES),
    ForeignClient("anthropic (Node)", "@anthropic-ai/sdk", "with_anthropic.mjs", NO_RESPONSES, "node"),
    ForeignClient("ollama (Python)", "ollama", "with_ollama.py", NO_RESPONSES),
    ForeignClient("ollama (Node)", "ollama", "with_ollama.mjs", NO_RESPONSES, "node"),
    ForeignClient("LangChain, ChatOpenAI (Python)", "langchain-openai", "with_langchain_openai.py", FEATURES),
    ForeignClient("LangChain, ChatOpenAI (Node)", "@langchain/openai", "with_langchain.mjs", FEATURES, "node"),
    ForeignClient("LangChain, ChatAnthropic", "langchain-anthropic", "with_langchain_anthropic.py", NO_RESPONSES),
    ForeignClient("LangChain, ChatOllama", "langchain-ollama", "with_langchain_ollama.py", NO_RESPONSES),
    ForeignClient("LiteLLM", "litellm", "with_litellm.py", FEATURES, "older"),
    ForeignClient("LlamaIndex", "llama-index-llms-openai-like", "with_llama_index.py", FEATURES, "older"),
    ForeignClient("Pydantic AI", "pydantic-ai-slim", "with_pydantic_ai.py", FEATURES),
    ForeignClient("OpenAI Agents", "openai-agents", "with_openai_agents.py", FEATURES),
    ForeignClient("Instructor", "instructor", "with_instructor.py", (*CHAT, "Responses", "errors"), "older"),
    ForeignClient("llm", "llm", "with_llm.py", (*CHAT, "errors")),
    ForeignClient("ai, @ai-sdk/openai", "@ai-sdk/openai", "with_ai_openai.mjs", FEATURES, "node"),
    ForeignClient(
        "ai, @ai-sdk/openai-compatible",
        "@ai-sdk/openai-compatible",
        "with_ai_openai_compatible.mjs",
        NO_RESPONSES,
        "node",
    ),
    ForeignClient("ai, @ai-sdk/anthropic", "@ai-sdk/anthropic", "with_ai_anthropic.mjs", NO_RESPONSES, "node"),
)

PROGRAMS = (
    ForeignClient(
        "Claude Code", "@anthropic-ai/claude-code", "with_claude_code.mjs", ("one turn",), "node", WIDE_MODEL
    ),
    ForeignClient("Codex", "@openai/codex", "with_codex.mjs", ("one turn",), "node", WIDE_MODEL),
    ForeignClient("opencode", "opencode-ai", "with_opencode.mjs", ("one turn",), "node", WIDE_MODEL),
    ForeignClient("lm-evaluation-harness", "lm-eval", "with_lm_eval.py", ("loglikelihood",)),
    ForeignClient("CompatCanary", "compatcanary", "with_compatcanary.mjs", ("score",), "node"),
)
"""What is no library: each does one thing."""

CLIENTS = (*LIBRARIES, *PROGRAMS)

AT_FURTHER_ENGINES = ("openai (Python)", "anthropic (Python)", "ollama (Python)", "LangChain, ChatOpenAI (Python)")
"""The clients that are tested with vLLM and Transformers too: one of each API, and one that is built on another.

The command runs all of them with each engine.
"""


@cache
def _npm() -> Mapping[str, str]:
    packages: dict[str, Any] = json.loads((NODE / "package-lock.json").read_text())["packages"]
    return {path.removeprefix("node_modules/"): package["version"] for path, package in packages.items() if path}


@cache
def _python(group: str) -> Mapping[str, str]:
    """Versions by package; where the lock has two of one, that of the group."""
    lock = tomllib.loads((PYTHON / "uv.lock").read_text())
    versions: dict[str, str] = {each["name"]: each["version"] for each in lock["package"]}
    [project] = (each for each in lock["package"] if each["name"] == "berth-clients")
    direct: list[dict[str, Any]] = project["dev-dependencies"][group]
    return versions | {each["name"]: each["version"] for each in direct if "version" in each}
