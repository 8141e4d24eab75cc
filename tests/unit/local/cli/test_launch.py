"""`berth launch`, against a router whose engine is the test's, with an agent that writes down what it was told."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from berth_router.settings import RouterSettings
from tests.unit.formats.weights import write_gguf
from tests.unit.local.cli.conftest import Command, Ran
from tests.unit.router.conftest import Serving

_AGENT = """#!{python}
import json, os, sys
json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}, open({told!r}, "w"))
sys.exit(7)
"""

TOOLS = "{% if tools %}{{ tools }}{% endif %}"


class Agents:
    """Programs with the names of agents, on PATH."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told = folder / "told.json"

    def install(self, name: str) -> None:
        program = self._folder / name
        program.write_text(_AGENT.format(python=sys.executable, told=str(self._told)))
        program.chmod(0o755)

    @property
    def told(self) -> Any:
        """What the last one that ran was told."""
        return json.loads(self._told.read_text())


@pytest.fixture
def agents(tmp_path_factory: pytest.TempPathFactory, berth: Command) -> Agents:
    folder = tmp_path_factory.mktemp("agents")
    berth.environment |= {"PATH": str(folder), "HOME": str(folder)}
    return Agents(folder)


def sizes(found: list[Any]) -> list[int]:
    """The windows of the deployments."""
    return sorted(one["spec"]["llamacpp"]["contextSize"] for one in found)


async def test_the_agent_runs_on_a_model_that_is_loaded_with_a_large_window(
    serving: Serving, berth: Command, agents: Agents
) -> None:
    agents.install("claude")
    launching = asyncio.create_task(berth("launch", "claude", "--ttl", "60", "--", "-p", "Hi there"))
    (deployment,) = await serving.until(lambda found: len(found) == 1)
    assert deployment["spec"]["idle"]["ttlSeconds"] == 60
    await serving.make_ready(deployment["metadata"]["name"])
    ran = await launching
    assert ran.code == 7  # the agent's own
    assert ran.err.splitlines()[-1].startswith("Claude Code on tiny, 65536 tokens of context, at http://")
    assert sizes([deployment]) == [65_536]
    assert agents.told["arguments"] == ["-p", "Hi there"]
    environment = agents.told["environment"]
    assert environment["ANTHROPIC_BASE_URL"] == f"http://127.0.0.1:{serving.port}"
    assert environment["ANTHROPIC_MODEL"] == "tiny"
    (loading,) = [call.body for call in serving.engine.calls]
    assert loading["max_tokens"] == 1


async def test_a_smaller_window_is_tried_where_memory_is_short(
    serving: Serving, berth: Command, agents: Agents
) -> None:
    agents.install("claude")
    launching = asyncio.create_task(berth("launch", "claude", "-m", "tiny"))
    (first,) = await serving.until(lambda found: len(found) == 1)
    await serving.make_stalled(first["metadata"]["name"], "MemoryInsufficient", "it needs 9 GB of memory")
    both = await serving.until(lambda found: len(found) == 2)
    assert sizes(both) == [32_768, 65_536]
    (second,) = [one for one in both if one["metadata"]["name"] != first["metadata"]["name"]]
    await serving.make_ready(second["metadata"]["name"])
    ran = await launching
    assert ran.code == 7
    assert "no room for 65536 tokens of context: " in ran.err
    assert "Claude Code on tiny, 32768 tokens" in ran.err


async def test_a_window_that_is_stated_is_the_only_one(serving: Serving, berth: Command, agents: Agents) -> None:
    agents.install("codex")
    launching = asyncio.create_task(berth("launch", "codex", "--n-ctx", "4096"))
    (only,) = await serving.until(lambda found: len(found) == 1)
    await serving.make_stalled(only["metadata"]["name"], "MemoryInsufficient", "it needs 9 GB of memory")
    ran = await launching
    assert ran.code == 1
    assert "it needs 9 GB of memory" in ran.err
    assert sizes([only]) == [4096]


@pytest.mark.parametrize(
    ("agent", "stated", "told", "note"),
    [
        (
            "codex",
            "200000",
            "model_context_window=131072",
            "131072 tokens of context, which is what the model was made",
        ),
        (
            "claude",
            "512",
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS=512\n",
            "Claude Code needs 32768 tokens of context: with 512",
        ),
        ("claude", "32768", "CLAUDE_CODE_MAX_CONTEXT_TOKENS=49152\n", ""),
    ],
)
async def test_a_window_that_is_stated_is_told_as_it_will_be(
    berth: Command, agents: Agents, settings: RouterSettings, agent: str, stated: str, told: str, note: str
) -> None:
    write_gguf(Path(settings.model_store) / "tiny" / "model.gguf", template=TOOLS, context=131_072)
    ran = await berth("launch", agent, "--print", "--n-ctx", stated)
    assert ran.code == 0
    assert told in ran.out
    assert note in ran.err


@pytest.mark.parametrize("settings", [{"aliases": {"claude-*": "tiny"}}], indirect=True)
async def test_an_alias_that_is_a_pattern_is_as_good_as_its_model(
    berth: Command, agents: Agents, settings: RouterSettings
) -> None:
    write_gguf(Path(settings.model_store) / "tiny" / "model.gguf", template=TOOLS, context=8192)
    ran = await berth("launch", "claude", "--print", "--model", "claude-opus-4")
    assert (ran.code, ran.out) == (2, "")
    assert "it was made for 8192 tokens of context, and 32768 are needed" in ran.err


@pytest.mark.parametrize("settings", [{"aliases": {"gpt-4o": "tiny", "claude-*": "tiny"}}], indirect=True)
async def test_an_alias_of_the_only_model_is_no_second_one(berth: Command, agents: Agents) -> None:
    ran = await berth("launch", "aider", "--print")
    assert ran.code == 0
    assert "openai/tiny" in ran.out


async def test_a_model_is_found_by_the_beginning_of_its_name(berth: Command, agents: Agents) -> None:
    ran = await berth("launch", "aider", "--print", "--model", "TIN")
    assert (ran.code, ran.err) == (0, "TIN is tiny\n")
    assert "openai/tiny" in ran.out


async def test_a_script_is_not_printed_for_a_model_that_is_not_there(berth: Command, agents: Agents) -> None:
    ran = await berth("launch", "claude", "--print", "--model", "nope")
    assert (ran.code, ran.out) == (3, "")
    assert "The model nope is not in the model store." in ran.err


async def test_who_has_no_model_for_an_agent_hears_of_one(
    berth: Command, agents: Agents, settings: RouterSettings
) -> None:
    write_gguf(Path(settings.model_store) / "tiny" / "model.gguf", template=TOOLS, context=8192)
    ran = await berth("launch", "claude", "--print")
    assert ran.code == 3
    assert "`berth pull Qwen/Qwen3-8B-GGUF:Q4_K_M` fetches one that does (5 GB). tiny: it was made for" in ran.err


async def test_an_agent_that_is_not_installed_is_told_how_to_install(berth: Command, agents: Agents) -> None:
    assert await berth("launch", "aider") == Ran(
        3, "", "berth: Aider is not installed: `uv tool install --python 3.12 aider-chat` installs it\n"
    )


async def test_an_agent_that_is_not_known_is_told_which_are(berth: Command) -> None:
    ran = await berth("launch", "clod")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("berth: AGENT is 'clod': it must be one of claude, codex, opencode, ")


async def test_several_models_must_be_chosen_from(berth: Command, agents: Agents, settings: RouterSettings) -> None:
    agents.install("opencode")
    (Path(settings.model_store) / "other").mkdir()
    ran = await berth("launch", "opencode")
    assert (ran.code, ran.err) == (2, "berth: --model must say which: other, tiny\n")


async def test_a_model_that_is_not_there_is_named(berth: Command, agents: Agents) -> None:
    agents.install("opencode")
    ran = await berth("launch", "opencode", "--model", "absent")
    assert ran.code == 3
    assert "The model absent is not in the model store." in ran.err


async def test_print_starts_nothing(serving: Serving, berth: Command, agents: Agents) -> None:
    berth.environment["BERTH_API_KEY"] = "sk-a-key-of-the-test"
    ran = await berth("launch", "claude", "--print", "--", "-p", "Hi there")
    assert ran.code == 0
    assert f"export ANTHROPIC_BASE_URL=http://127.0.0.1:{serving.port}\n" in ran.out
    assert 'export ANTHROPIC_AUTH_TOKEN="$BERTH_API_KEY"\n' in ran.out
    assert ran.out.endswith("claude -p 'Hi there'\n")
    assert "sk-a-key-of-the-test" not in ran.out + ran.err
    assert not serving.engine.calls
    assert not await serving.deployments()
