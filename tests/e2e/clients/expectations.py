"""What cannot be: by an engine, or by a client's own fault. Everything else is expected to work."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from berth_api.model_deployment import Backend
from tests.e2e.clients.catalog import AT_FURTHER_ENGINES, CLIENTS, ForeignClient


@dataclass(frozen=True)
class Limit:
    """Cells of an engine's table in which nothing can be."""

    engine: Backend
    why: str
    """A footnote of the table."""
    features: Collection[str] = ()
    """Those that cannot be. Empty: all."""
    clients: Collection[str] = ()
    """Of these clients alone. Empty: of all."""
    tried: bool = True
    """Whether they are run all the same, to see when they work."""

    def has(self, engine: Backend, client: ForeignClient, feature: str) -> bool:
        """Whether the cell is one of them."""
        return (
            engine is self.engine
            and (not self.features or feature in self.features)
            and (not self.clients or client.name in self.clients)
        )


_ANTHROPIC = ("anthropic (Python)", "anthropic (Node)", "LangChain, ChatAnthropic", "ai, @ai-sdk/anthropic")
_CALL_TOOLS_FREELY = ("ollama (Python)", "ollama (Node)", "LangChain, ChatOllama", "llm")
"""Ollama's API cannot force a call, and `llm` does not."""

_FORCE_TOOLS = [client.name for client in CLIENTS if client.name not in (*_CALL_TOOLS_FREELY, *_ANTHROPIC)]

_ASK_FOR_TOO_MUCH = (
    *("openai (Python)", "openai (Node)", "LangChain, ChatOpenAI (Python)", "LangChain, ChatOpenAI (Node)"),
    *("LiteLLM", "LlamaIndex", "ai, @ai-sdk/openai", "ai, @ai-sdk/openai-compatible"),
)
"""Those whose errors are tried with a prompt beyond the context too."""

LIMITS = (
    Limit(
        Backend.TRANSFORMERS,
        "Transformers has no `/v1/messages`. If the profile is left out, vLLM answers.",
        clients=(*_ANTHROPIC, "Claude Code"),
        tried=False,
    ),
    Limit(
        Backend.TRANSFORMERS,
        "The program asks for the same by `/v1/messages` too, which Transformers does not have.",
        features=("chat", "stream"),
        clients=("LiteLLM", "Pydantic AI"),
    ),
    Limit(
        Backend.TRANSFORMERS,
        "Transformers cannot make an answer follow a schema; Berth refuses `response_format`.",
        features=("JSON schema",),
    ),
    Limit(
        Backend.TRANSFORMERS,
        "The program asks for an answer that follows a schema too, which Transformers cannot give.",
        features=("Responses", "score"),
        clients=[client.name for client in CLIENTS if client.name not in ("LiteLLM", "LlamaIndex")],
    ),
    Limit(
        Backend.TRANSFORMERS,
        "All that Instructor does is to ask for a schema or for a certain call.",
        features=("chat", "stream"),
        clients=("Instructor",),
    ),
    Limit(
        Backend.TRANSFORMERS,
        "Transformers cannot be made to call a tool; Berth refuses `tool_choice` then. The model's own calls work.",
        features=("tools",),
        clients=_FORCE_TOOLS,
    ),
    Limit(
        Backend.TRANSFORMERS,
        "A prompt beyond the context is no error for Transformers: it computes it, for minutes, and answers nonsense.",
        features=("errors",),
        clients=_ASK_FOR_TOO_MUCH,
        tried=False,
    ),
    Limit(
        Backend.TRANSFORMERS,
        "Transformers has no `logprobs`, and no `/tokenize`.",
        clients=("lm-evaluation-harness",),
    ),
)


def features_with(engine: Backend, client: ForeignClient) -> Sequence[str]:
    """What of a client is run with an engine. Those that take long to start are started anew for few clients."""
    starts_again = engine is Backend.LLAMACPP or client.name in AT_FURTHER_ENGINES
    return [
        feature
        for feature in client.features
        if (starts_again or feature != "cold stream")
        and not any(limit.has(engine, client, feature) and not limit.tried for limit in LIMITS)
    ]


def features_in_tests(engine: Backend, client: ForeignClient) -> Sequence[str]:
    """What of a client the tests run: of those whose engine takes long to start, one starts it anew."""
    starts_again = engine is Backend.LLAMACPP or client.name == AT_FURTHER_ENGINES[0]
    return [feature for feature in features_with(engine, client) if starts_again or feature != "cold stream"]


def why_not(engine: Backend, client: ForeignClient, feature: str) -> str | None:
    """Why there can be nothing in a cell. None: it is expected to work, but for the client's faults."""
    return next((limit.why for limit in LIMITS if limit.has(engine, client, feature)), None)


def is_as_expected(engine: Backend, client: ForeignClient, feature: str, error: str | None) -> bool:
    """Whether what came of a cell is what was expected of it. What works by now is unexpected too."""
    cannot = why_not(engine, client, feature) is not None
    return (error is not None) is (cannot or feature in client.faults)
