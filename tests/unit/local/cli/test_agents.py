"""The table of coding agents: what each is told, and that it is told nothing of anybody else's server."""

import json
import tomllib
from typing import Any

import pytest

from berth_local.cli.agent_models import LARGEST_WINDOW, Offer, suitable, windows_to_try
from berth_local.cli.agents import AGENTS, KEY_VARIABLE, Agent, Seat, environment_for, shell_script

URL = "http://127.0.0.1:8080"
KEY = "sk-a-key-of-the-test"
SEAT = Seat(URL, "qwen/coder-7b", 65_536, 65_536)
EVERY_AGENT = pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)


def told(agent: Agent, seat: Seat = SEAT, key: str | None = KEY, **given: str) -> str:
    """All that the agent hears: what is new in its environment, and its arguments."""
    environment = environment_for(agent, seat, key, given)
    return json.dumps([environment, list(agent.arguments(seat))])


@EVERY_AGENT
def test_each_is_told_the_server_the_model_and_the_key(agent: Agent) -> None:
    assert URL in told(agent)
    assert "qwen/coder-7b" in told(agent)
    assert environment_for(agent, SEAT, KEY, {})[agent.key_variable] == KEY


@EVERY_AGENT
def test_the_key_is_no_argument_which_every_user_of_the_machine_can_read(agent: Agent) -> None:
    assert KEY not in json.dumps(list(agent.arguments(SEAT)))


@EVERY_AGENT
def test_a_server_without_keys_gets_a_key_all_the_same(agent: Agent) -> None:
    assert environment_for(agent, SEAT, None, {})[agent.key_variable]


@EVERY_AGENT
def test_what_leads_to_another_server_goes_and_everything_else_stays(agent: Agent) -> None:
    given = {**dict.fromkeys(agent.removed, "1"), agent.key_variable: "sk-another", "EDITOR": "vi"}
    environment = environment_for(agent, SEAT, KEY, given)
    assert not environment.keys() & set(agent.removed)
    assert environment["EDITOR"] == "vi"
    assert "sk-another" not in environment.values()


@pytest.mark.parametrize(
    ("url", "given", "expected"),
    [
        (URL, {}, None),
        (URL, {"HTTPS_PROXY": "http://proxy"}, "127.0.0.1"),
        (URL, {"http_proxy": "http://proxy", "no_proxy": "intranet"}, "intranet,127.0.0.1"),
        ("http://localhost:8080", {"HTTP_PROXY": "http://proxy"}, "localhost"),
        ("https://models.example.com", {"HTTP_PROXY": "http://proxy"}, None),
    ],
)
def test_a_port_of_this_machine_is_not_asked_through_a_proxy(
    url: str, given: dict[str, str], expected: str | None
) -> None:
    environment = environment_for(AGENTS["claude"], Seat(url, "m", 65_536, None), None, given)
    assert environment.get("NO_PROXY") == environment.get("no_proxy", environment.get("NO_PROXY")) == expected


def test_claude_code_is_asked_for_no_other_model() -> None:
    variables = AGENTS["claude"].variables(SEAT)
    named = {name: value for name, value in variables.items() if name.endswith("_MODEL")}
    assert len(named) == 6
    assert set(named.values()) == {SEAT.model}
    assert variables["ANTHROPIC_BASE_URL"] == URL
    assert json.loads(variables["CLAUDE_CODE_EXTRA_BODY"]) == {"n_ctx": 65_536}


@pytest.mark.parametrize(("window", "told_of"), [(131_072, 131_072), (65_536, 65_536), (32_768, 49_152)])
def test_claude_code_does_not_make_a_summary_after_each_turn(window: int, told_of: int) -> None:
    variables = AGENTS["claude"].variables(Seat(URL, "m", window, None))
    assert variables["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == str(told_of)
    assert int(variables["CLAUDE_CODE_MAX_OUTPUT_TOKENS"]) <= window // 4
    assert "CLAUDE_CODE_EXTRA_BODY" not in variables


def test_codex_gets_settings_that_are_toml() -> None:
    arguments = AGENTS["codex"].arguments(SEAT)
    stated = [arguments[index + 1] for index, word in enumerate(arguments) if word == "-c"]
    settings: dict[str, Any] = tomllib.loads("\n".join(stated))
    assert settings["model_provider"] in settings["model_providers"]
    provider = settings["model_providers"]["berth"]
    assert (provider["base_url"], provider["wire_api"]) == (f"{URL}/v1", "responses")
    assert provider["env_key"] == AGENTS["codex"].key_variable == KEY_VARIABLE
    assert settings["model_context_window"] == 65_536
    assert list(arguments[-2:]) == ["-m", SEAT.model]


@pytest.mark.parametrize("n_ctx", [65_536, None])
def test_opencode_gets_its_configuration_in_a_variable(n_ctx: int | None) -> None:
    seat = Seat(URL, "qwen/coder-7b", 65_536, n_ctx)
    configuration = json.loads(AGENTS["opencode"].variables(seat)["OPENCODE_CONFIG_CONTENT"])
    assert configuration["model"] == configuration["small_model"] == "berth/qwen/coder-7b"
    provider = configuration["provider"]["berth"]
    assert provider["options"]["apiKey"] == f"{{env:{AGENTS['opencode'].key_variable}}}"
    model = provider["models"]["qwen/coder-7b"]
    assert model["limit"] == {"context": 65_536, "output": 8192}
    assert model["options"] == ({"n_ctx": n_ctx} if n_ctx else {})


@EVERY_AGENT
def test_the_script_never_has_the_key(agent: Agent) -> None:
    for has_key in (True, False):
        script = shell_script(agent, SEAT, 60, ["a word"], has_key=has_key)
        assert KEY not in script
        *_, load, start = script.splitlines()
        assert load.startswith(f"berth run --url {URL} --n-ctx 65536 --ttl 60 ")
        assert start.startswith(agent.program)
        assert start.endswith("'a word'")
        assert (f'="${KEY_VARIABLE}"' in script) is (has_key and agent.key_variable != KEY_VARIABLE)


def offer(name: str = "m", **stated: Any) -> Offer:
    known: dict[str, Any] = {
        "kind": "chat",
        "tools": True,
        "window": 4096,
        "made_for": 131_072,
        "parameters": 7_000_000_000,
        "loaded": False,
    }
    return Offer(name, **{**known, **stated})


@pytest.mark.parametrize(
    ("one", "tools", "why_not"),
    [
        (offer(), True, None),
        (offer(kind=None, tools=None, made_for=None), True, None),
        (offer(kind="embedding"), False, "it is for embedding, not for chat"),
        (offer(kind="completion"), False, "it is for completion, not for chat"),
        (offer(tools=False), True, "its chat template has no tools"),
        (offer(tools=False), False, None),
        (offer(made_for=8192), True, "it was made for 8192 tokens of context, and 32768 are needed"),
    ],
)
def test_which_models_will_do(one: Offer, tools: bool, why_not: str | None) -> None:
    assert one.why_not(32_768, tools) == why_not


def test_what_runs_comes_first_and_then_the_largest() -> None:
    offers = [
        offer("small", parameters=1),
        offer("large", parameters=3),
        offer("runs", parameters=2, loaded=True),
        offer("large@long", parameters=3),
        offer("embeds", kind="embedding"),
    ]
    assert [one.name for one in suitable(offers, 32_768, tools=True)] == ["runs", "large", "small"]


@pytest.mark.parametrize(
    ("made_for", "needs", "windows"),
    [
        (131_072, 32_768, [65_536, 32_768]),
        (None, 16_384, [65_536, 32_768, 16_384]),
        (40_960, 32_768, [40_960]),
        (40_960, 16_384, [40_960, 20_480]),
        (8192, 8192, [8192]),
    ],
)
def test_windows_go_down_to_what_the_agent_needs(made_for: int | None, needs: int, windows: list[int]) -> None:
    assert windows_to_try(offer(made_for=made_for), needs) == windows
    assert windows_to_try(None, needs)[0] == LARGEST_WINDOW


def test_an_entry_of_an_older_server_says_only_the_name() -> None:
    one = Offer.of({"id": "/models/tiny", "object": "model"})
    assert (one.name, one.kind, one.tools, one.window, one.loaded) == ("tiny", None, None, None, False)
