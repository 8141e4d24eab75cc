"""The coding agents that `berth launch` starts, and what each reads from its environment and command line: pure.

Nothing here writes a file of the user's: an agent that cannot be told all it needs in these two ways is not in the
table. Each row was tried with the version that `tests/e2e/clients` or its comment names.
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

KEY_VARIABLE = "BERTH_API_KEY"
NO_KEY = "none"
"""What stands for the key where the server asks for none: agents refuse to start without one."""

_LONGEST_ANSWER = 8192


@dataclass(frozen=True, slots=True)
class Seat:
    """What an agent is started on."""

    url: str
    """The server's address, without /v1."""
    model: str
    window: int
    """Tokens of context that the agent may use, its answers included."""
    n_ctx: int | None
    """The window that each request should state, so that the model has it after an unload too. None: none."""

    @property
    def answer(self) -> int:
        """Most tokens of one answer: a part of the window, so that the conversation keeps the rest."""
        return min(_LONGEST_ANSWER, self.window // 4)


@dataclass(frozen=True, slots=True)
class Agent:
    """A coding agent."""

    title: str
    program: str
    install: str
    """A command that installs it."""
    key_variable: str
    """The variable that it reads its key from."""
    needs: int
    """The smallest window in tokens that has room for its own prompt and a few turns: a power of two."""
    variables: Callable[[Seat], Mapping[str, str]]
    arguments: Callable[[Seat], Sequence[str]] = lambda _: ()
    """Arguments that come before those of the user."""
    tools: bool = True
    """Whether it can do nothing with a model that has no tools."""
    removed: Sequence[str] = ()
    """Variables that would lead it to another server."""


_COMPACTING_WINDOW = 49_152
"""Claude Code makes a summary once it has 13,000 tokens and an answer less than its window.

Its own prompt is 20,000, which no summary makes shorter. Told of a smaller window, it would do so after each turn; told
of this one, it does so when the engine says that the prompt is too long.
"""


_CLAUDE_NEEDS = 32_768


def _claude_window(window: int) -> int:
    """What Claude Code is told of its window. Where its own prompt does not fit, nothing else than the truth helps."""
    return max(window, _COMPACTING_WINDOW) if window >= _CLAUDE_NEEDS else window


def _claude_variables(seat: Seat) -> Mapping[str, str]:
    # Claude Code 2.1. ANTHROPIC_BASE_URL is without /v1.
    models = ("ANTHROPIC_MODEL", *(f"ANTHROPIC_DEFAULT_{size}_MODEL" for size in ("FABLE", "OPUS", "SONNET", "HAIKU")))
    stated = {"CLAUDE_CODE_EXTRA_BODY": json.dumps({"n_ctx": seat.n_ctx})} if seat.n_ctx else {}
    return {
        "ANTHROPIC_BASE_URL": seat.url,
        **dict.fromkeys((*models, "CLAUDE_CODE_SUBAGENT_MODEL"), seat.model),
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(_claude_window(seat.window)),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(seat.answer),
        # A line at the head of each prompt that differs from the last one's: the engine could keep nothing of it.
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
        "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        **stated,
    }


def _codex_arguments(seat: Seat) -> Sequence[str]:
    # Codex 0.171. Values are TOML, whose strings are written as in JSON.
    provider = {"name": "Berth", "base_url": f"{seat.url}/v1", "env_key": KEY_VARIABLE, "wire_api": "responses"}
    settings = {
        "model_provider": '"berth"',
        "model_providers.berth": "{"
        + ", ".join(f"{name} = {json.dumps(text)}" for name, text in provider.items())
        + "}",
        "model_context_window": str(seat.window),
        # Tools that run at OpenAI, or that only its models know.
        "web_search": '"disabled"',
        "features.multi_agent": "false",
    }
    return [*(word for name, value in settings.items() for word in ("-c", f"{name}={value}")), "-m", seat.model]


def _opencode_variables(seat: Seat) -> Mapping[str, str]:
    # opencode 1.18. It has the provider's module in it.
    model = {
        "name": seat.model,
        "tool_call": True,
        "limit": {"context": seat.window, "output": seat.answer},
        "options": {"n_ctx": seat.n_ctx} if seat.n_ctx else {},
    }
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Berth",
        "options": {"baseURL": f"{seat.url}/v1", "apiKey": f"{{env:{KEY_VARIABLE}}}"},
        "models": {seat.model: model},
    }
    name = f"berth/{seat.model}"
    return {
        "OPENCODE_CONFIG_CONTENT": json.dumps({"model": name, "small_model": name, "provider": {"berth": provider}})
    }


def _aider_arguments(seat: Seat) -> Sequence[str]:
    # Aider 0.86. Arguments, since a .env of the repository wins over variables.
    model = f"openai/{seat.model}"
    return [
        *("--openai-api-base", f"{seat.url}/v1"),
        *("--model", model, "--weak-model", model),
        "--no-show-model-warnings",
    ]


def _qwen_variables(seat: Seat) -> Mapping[str, str]:
    # Qwen Code 0.2x.
    return {
        "OPENAI_BASE_URL": f"{seat.url}/v1",
        "OPENAI_MODEL": seat.model,
        "QWEN_CODE_MAX_OUTPUT_TOKENS": str(seat.answer),
    }


def _copilot_variables(seat: Seat) -> Mapping[str, str]:
    # `copilot help providers`.
    return {
        "COPILOT_PROVIDER_BASE_URL": f"{seat.url}/v1",
        "COPILOT_MODEL": seat.model,
        "COPILOT_PROVIDER_MAX_PROMPT_TOKENS": str(seat.window - seat.answer),
        "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS": str(seat.answer),
    }


AGENTS: Mapping[str, Agent] = {
    "claude": Agent(
        title="Claude Code",
        program="claude",
        install="npm install --global @anthropic-ai/claude-code",
        key_variable="ANTHROPIC_AUTH_TOKEN",
        needs=_CLAUDE_NEEDS,
        variables=_claude_variables,
        removed=(
            "ANTHROPIC_API_KEY",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
            "CLAUDE_CODE_USE_FOUNDRY",
        ),
    ),
    "codex": Agent(
        title="Codex",
        program="codex",
        install="npm install --global @openai/codex",
        key_variable=KEY_VARIABLE,
        needs=16_384,
        variables=lambda _: {},
        arguments=_codex_arguments,
    ),
    "opencode": Agent(
        title="opencode",
        program="opencode",
        install="npm install --global opencode-ai",
        key_variable=KEY_VARIABLE,
        needs=16_384,
        variables=_opencode_variables,
    ),
    "aider": Agent(
        title="Aider",
        program="aider",
        install="uv tool install --python 3.12 aider-chat",
        key_variable="OPENAI_API_KEY",
        needs=8192,
        tools=False,
        variables=lambda _: {},
        arguments=_aider_arguments,
    ),
    "qwen": Agent(
        title="Qwen Code",
        program="qwen",
        install="npm install --global @qwen-code/qwen-code",
        key_variable="OPENAI_API_KEY",
        needs=32_768,
        variables=_qwen_variables,
        arguments=lambda seat: ("--auth-type", "openai", "--model", seat.model),
    ),
    "copilot": Agent(
        title="GitHub Copilot CLI",
        program="copilot",
        install="npm install --global @github/copilot",
        key_variable="COPILOT_PROVIDER_API_KEY",
        needs=32_768,
        variables=_copilot_variables,
        removed=(
            "COPILOT_PROVIDER_TYPE",
            "COPILOT_PROVIDER_WIRE_API",
            "COPILOT_PROVIDER_TRANSPORT",
            "COPILOT_PROVIDER_BEARER_TOKEN",
            "COPILOT_PROVIDER_API_KEY_COMMAND",
            "COPILOT_PROVIDER_MODEL_ID",
            "COPILOT_PROVIDER_WIRE_MODEL",
        ),
    ),
}
"""By the name that the user types."""


def environment_for(agent: Agent, seat: Seat, api_key: str | None, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of the agent, made from that of the command."""
    kept = {name: value for name, value in given.items() if name not in agent.removed}
    return {**kept, **_past_proxies(seat.url, given), **agent.variables(seat), agent.key_variable: api_key or NO_KEY}


def _past_proxies(url: str, given: Mapping[str, str]) -> dict[str, str]:
    """A proxy is for other machines, not for a port of this one."""
    host = url.partition("://")[2].partition(":")[0]
    if host not in ("127.0.0.1", "localhost") or not any(name.lower().endswith("_proxy") for name in given):
        return {}
    names = ",".join(filter(None, [given.get("NO_PROXY") or given.get("no_proxy"), host]))
    return {"NO_PROXY": names, "no_proxy": names}


def shell_script(agent: Agent, seat: Seat, ttl: int, extra: Sequence[str], *, has_key: bool) -> str:
    """What a shell would do in place of the command: it sets the variables, loads the model and starts the agent.

    It names the variable that has the key, and never the key.
    """
    load = ["berth", "run", "--url", seat.url, "--n-ctx", str(seat.n_ctx), "--ttl", str(ttl), "--max-tokens", "1"]
    variables = {name: shlex.quote(value) for name, value in agent.variables(seat).items()}
    if not (has_key and agent.key_variable == KEY_VARIABLE):
        variables[agent.key_variable] = f'"${KEY_VARIABLE}"' if has_key else NO_KEY
    return "\n".join(
        [
            *([f"unset {' '.join(agent.removed)}"] if agent.removed else []),
            *(f"export {name}={value}" for name, value in variables.items()),
            f"{shlex.join([*load, seat.model, 'Hi'])} >/dev/null",
            shlex.join([agent.program, *agent.arguments(seat), *extra]),
        ]
    )
