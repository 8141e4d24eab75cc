"""Aliases and the default model: which model answers for a name, in every API."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from berth_router.errors import InvalidRequestError
from berth_router.request.aliases import Aliases
from berth_router.request.ask import RequestParser
from berth_router.request.profiles import Profile
from berth_router.settings import RouterSettings
from tests.unit.formats.weights import write_gguf
from tests.unit.router.conftest import MODEL, PROMPT, Serving
from tests.unit.router.engine import COMPLETION, Call
from tests.unit.router.management import call

ALIASES = {
    "gpt-4o-mini": "tiny@long",
    "claude-*": "tiny",
    "claude-opus-*": "large",
    "*-*-embedding-*": "vectors",
    "llama3.2:3b": "/models/tiny",
    "vendor/some-model": "tiny",
}
PROFILES = {"long": {"backend": "llamacpp", "n_ctx": 4096}}
SET = {"aliases": ALIASES, "profiles": PROFILES}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("gpt-4o-mini", "tiny@long"),
        ("gpt-4o-mini:latest", "tiny@long"),
        ("gpt-4o", None),
        ("GPT-4o-mini", None),
        ("claude-3-5-haiku", "tiny"),
        ("claude-3-5-haiku@20241022", "tiny"),
        ("claude-", "tiny"),
        ("claude", None),
        ("claude-opus-4", "large"),  # the pattern that says more
        ("text-3-embedding-small", "vectors"),
        ("text-embedding-3", None),
        ("llama3.2:3b", "/models/tiny"),
        ("llama3.2-3b", "/models/tiny"),
        ("vendor/some-model", "tiny"),
        ("/models/gpt-4o-mini", None),
        ("", None),
    ],
)
def test_what_a_name_stands_for(name: str, target: str | None) -> None:
    assert Aliases(ALIASES).target(name) == target


def test_an_exact_name_comes_before_every_pattern() -> None:
    aliases = Aliases({"a-very-long-*": "pattern", "a-very-long-name": "exact", "*": "any"})
    assert [aliases.target(name) for name in ("a-very-long-name", "a-very-long-one", "x")] == [
        "exact",
        "pattern",
        "any",
    ]


def parser(default: str | None = None) -> RequestParser:
    profiles = {name: Profile.model_validate(profile) for name, profile in PROFILES.items()}
    return RequestParser(profiles, aliases=Aliases(ALIASES, default))


def test_an_alias_is_the_request_that_its_model_would_be() -> None:
    assert parser().parse_name("gpt-4o-mini") == parser().parse_name("tiny@long")


@pytest.mark.parametrize(
    ("name", "model", "otherwise"),
    [
        ("unknown", "/models/unknown", "/models/tiny"),
        ("vendor/unknown", "/models/vendor/unknown", "/models/tiny"),
        ("unknown:8b", "/models/tiny", None),  # no model can have that name
        ("un known", "/models/tiny", None),
        ("/models/unknown", "/models/unknown", None),  # a whole path means just that
        ("claude-opus-4", "/models/large", None),
    ],
)
def test_the_default_is_for_names_that_no_model_has(name: str, model: str, otherwise: str | None) -> None:
    ask = parser("tiny@long").parse_name(name)
    assert (ask.model, ask.otherwise.model if ask.otherwise else None) == (model, otherwise)


@pytest.mark.parametrize("name", ["../etc/passwd", ".hidden", "a b", "/etc/passwd"])
def test_aliases_open_no_way_to_other_names(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        parser().parse_name(name)


def test_a_profile_that_there_is_not_stays_an_error() -> None:
    with pytest.raises(InvalidRequestError, match="names the profile"):
        parser("tiny").parse_name("unknown@short")


async def echo(call: Call) -> None:
    """Answers under the name that the engine was asked for, as engines do."""
    await call.answer({**COMPLETION, "model": call.body["model"]})


async def chat(serving: Serving, name: str) -> Any:
    return await serving.client.chat.completions.create(model=name, messages=PROMPT)


async def asked(serving: Serving, name: str) -> Any:
    """The answer to a question to the model of this name, whose engine becomes ready."""
    serving.engine.behaviour = echo
    asking = asyncio.create_task(chat(serving, name))
    await serving.make_ready(await serving.created())
    return await asking


@pytest.mark.covers("model: an alias")
@pytest.mark.parametrize("settings", [SET], indirect=True)
async def test_an_alias_answers_in_its_own_name(serving: Serving) -> None:
    assert (await asked(serving, "gpt-4o-mini")).model == "gpt-4o-mini"
    [deployment] = await serving.deployments()
    assert deployment["spec"]["model"] == MODEL
    assert deployment["spec"]["llamacpp"]["contextSize"] == 4096
    await serving.ask(extra_body={"n_ctx": 4096})
    assert len(await serving.deployments()) == 1


@pytest.mark.parametrize("settings", [SET], indirect=True)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"messages": PROMPT, "max_tokens": 8}),
        ("/v1/embeddings", {"input": "x"}),
        ("/api/chat", {"messages": PROMPT, "stream": False}),
        ("/tokenize", {"content": "x"}),
    ],
)
async def test_every_api_knows_the_aliases(serving: Serving, path: str, body: dict[str, Any]) -> None:
    asking = asyncio.create_task(serving.raw("POST", path, orjson.dumps({"model": "claude-sonnet", **body})))
    await serving.make_ready(await serving.created())
    assert (await asking).status == 200
    assert [one["spec"]["model"] for one in await serving.deployments()] == [MODEL]


@pytest.mark.covers("model: a name that no model has", "defaultModel")
@pytest.mark.parametrize("settings", [{"default_model": "tiny"}], indirect=True)
@pytest.mark.parametrize("name", ["gpt-5", "vendor/gpt-5", "gpt:5"])
async def test_the_default_model_answers_for_a_name_that_no_model_has(serving: Serving, name: str) -> None:
    assert (await asked(serving, name)).model == name
    assert (await serving.client.models.retrieve(name)).id == name
    with pytest.raises(openai.NotFoundError):
        await chat(serving, "/models/gpt-5")
    assert [one["spec"]["model"] for one in await serving.deployments()] == [MODEL]


@pytest.mark.parametrize("settings", [{"default_model": "tiny"}], indirect=True)
async def test_a_model_of_the_store_comes_before_the_default(serving: Serving, settings: RouterSettings) -> None:
    (Path(settings.model_store) / "other").mkdir()
    await asked(serving, "other")
    assert [one["spec"]["model"] for one in await serving.deployments()] == ["/models/other"]


@pytest.mark.parametrize("settings", [{"default_model": "tiny", "max_requests_per_model": 1}], indirect=True)
async def test_other_names_do_not_go_around_a_models_limit(serving: Serving) -> None:
    """While one request is in hand under one name, another one under another name is one too many."""

    async def hold(held: Call) -> None:
        await held.think_until_the_client_leaves()

    await asked(serving, "tiny")
    serving.engine.behaviour = hold
    first = asyncio.create_task(chat(serving, "name-1"))
    await serving.in_hand(1)
    with pytest.raises(openai.RateLimitError):
        await chat(serving, "name-2")
    first.cancel()


@pytest.mark.covers("data[].aliases", "GET /v1/models/{name}: aliases")
@pytest.mark.parametrize("settings", [SET], indirect=True)
async def test_aliases_are_listed_beside_their_models(serving: Serving, settings: RouterSettings) -> None:
    store = Path(settings.model_store)
    write_gguf(store / "tiny" / "model.gguf", context=4096)
    write_gguf(store / "claude-clone" / "model.gguf")
    models = {model["id"]: model for model in (await call(serving, "GET", "/v1/models"))[1]["data"]}
    assert list(models) == [
        "/models/claude-clone",  # by the bare name it is an alias
        "/models/claude-clone@long",
        "tiny",
        "tiny@long",
        "gpt-4o-mini",
        "llama3.2:3b",
        "vendor/some-model",
    ]
    assert models["tiny"]["aliases"] == ["llama3.2:3b", "vendor/some-model"]
    assert models["tiny@long"]["aliases"] == ["gpt-4o-mini"]
    assert models["gpt-4o-mini"]["context_length"] == 4096
    for name, found in (("gpt-4o-mini", 4096), ("claude-sonnet", 2048), ("llama3.2:3b", 2048)):
        shown = await serving.client.models.retrieve(name)
        assert (shown.id, shown.model_dump()["context_length"]) == (name, found)
    tags = (await call(serving, "GET", "/api/tags"))[1]["models"]
    assert [model["name"] for model in tags] == [
        "claude-clone:latest",
        "claude-clone@long:latest",
        "tiny:latest",
        "tiny@long:latest",
        "gpt-4o-mini:latest",
        "llama3.2:3b",
        "vendor/some-model:latest",
    ]
    assert (await call(serving, "POST", "/api/show", model="llama3.2:3b"))[0] == 200
