"""Every row of the table of repairs: what it changes, what it refuses, and what it leaves alone."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from berth_api.model_deployment import Backend, ModelDeploymentSpec
from berth_formats.abilities import Abilities
from berth_router.errors import EngineFailedError, InvalidRequestError
from berth_router.repairs.completions import PromptEcho
from berth_router.repairs.repair import Repair
from berth_router.repairs.table import REPAIRS, answer_repairs, answer_rewriters
from berth_router.request.ask import InferenceRequest, RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.serving.rewriting import chained
from tests.unit.repairs.example import Answered, Changed, Example, Kept, Refused
from tests.unit.repairs.examples import EXAMPLES

CASES = [
    pytest.param(name, example, id=f"{name}-{number}")
    for name, examples in EXAMPLES.items()
    for number, example in enumerate(examples)
]
ROWS = {row.name: row for row in REPAIRS}


def requested(path: str, sent: Mapping[str, Any], abilities: Abilities | None = None) -> InferenceRequest:
    needed: dict[str, Any] = {"model": "tiny"}
    endpoint = INFERENCE_PATHS[path]
    if endpoint.output_limit_required:
        needed["max_tokens"] = 5
    if "messages" in endpoint.prompts:
        needed["messages"] = [{"role": "user", "content": "Hi"}]
    else:
        needed[endpoint.prompts[0]] = "Hi"
    return RequestParser({}, abilities=lambda _: abilities).parse(orjson.dumps({**needed, **sent}), endpoint)


def engine_gets(
    path: str, engine: Backend, sent: Mapping[str, Any], abilities: Abilities | None = None
) -> dict[str, Any]:
    spec = ModelDeploymentSpec.model_validate({"model": "/models/tiny", "backend": engine, "device": "cpu"})
    return orjson.loads(requested(path, sent, abilities).body_for(spec, "tiny"))


def client_gets(example: Answered, *pieces: bytes) -> bytes:
    request = requested(example.path, {**example.sent, "stream": example.streams})
    rows = answer_repairs(example.engine, example.path, request.repairs, streams=example.streams)
    made = answer_rewriters(rows, request.content, "tiny", "req_1", streams=example.streams)
    rewriter = chained(made)
    assert rewriter
    return b"".join([rewriter.feed(piece) for piece in pieces]) + rewriter.end()


@pytest.mark.parametrize("row", REPAIRS, ids=lambda row: row.name)
def test_every_row_has_an_example_that_it_is_for(row: Repair) -> None:
    shown = [example for example in EXAMPLES.get(row.name, ()) if not isinstance(example, Kept)]
    assert shown, f"write an example for {row.name} in examples.py"
    assert {example.path for example in shown} <= row.paths
    assert {example.engine for example in shown} <= row.engines


def test_every_row_has_a_name_of_its_own() -> None:
    assert len(ROWS) == len(REPAIRS)
    assert EXAMPLES.keys() == ROWS.keys()


@pytest.mark.parametrize(("name", "example"), CASES)
def test_a_row_does_what_it_says(name: str, example: Example) -> None:
    match example:
        case Changed():
            got = engine_gets(example.path, example.engine, example.sent)
            assert {field: got.get(field) for field in example.got} == example.got
            assert [field for field, value in example.got.items() if value is None and field in got] == []
        case Kept():
            got = engine_gets(example.path, example.engine, example.sent, example.abilities)
            assert {field: got.get(field) for field in example.sent} == example.sent
        case Refused():
            with pytest.raises(InvalidRequestError) as raised:
                engine_gets(example.path, example.engine, example.sent, example.abilities)
            assert raised.value.param == example.param
            assert example.says in raised.value.message
        case Answered():
            answer = example.answer
            assert client_gets(example, answer) == example.got
            assert client_gets(example, *(bytes([byte]) for byte in answer)) == example.got


def test_what_needs_no_repair_waits_for_nothing() -> None:
    sent = {
        "messages": [{"role": "user", "content": "null"}],
        "temperature": 0.1,
        "max_tokens": 4,
        "tool_choice": "auto",
    }
    assert requested("/v1/chat/completions", sent).repairs == ()


def test_a_prompt_to_be_echoed_that_is_longer_than_the_context_is_refused_before_the_engine_works_on_it() -> None:
    spec = ModelDeploymentSpec.model_validate({"model": "/models/tiny", "backend": "llamacpp", "device": "cpu"})
    request = requested("/v1/completions", {"prompt": [7] * 9, "echo": True, "logprobs": 1, "max_tokens": 0})
    assert request.body_for(spec, "tiny", window=9)
    with pytest.raises(InvalidRequestError, match="9 tokens, which exceeds the available context size") as raised:
        request.body_for(spec, "tiny", window=8)
    assert (raised.value.param, raised.value.code) == ("prompt", "context_length_exceeded")


def test_prose_in_place_of_what_follows_a_schema_is_no_answer() -> None:
    prose = b'{"content":[{"type":"text","text":"Well"}],"stop_reason":"end_turn"}'
    sent = {"output_format": {"type": "json_schema", "schema": {"type": "object"}}}
    with pytest.raises(EngineFailedError):
        client_gets(Answered("/v1/messages", Backend.LLAMACPP, sent, prose, b"", streams=False), prose)


def test_after_the_first_event_everything_passes_as_it_is() -> None:
    rows = answer_repairs(Backend.LLAMACPP, "/v1/chat/completions", (), streams=True)
    rewriter = chained(answer_rewriters(rows, b"", "tiny", "req_1", streams=True))
    assert rewriter
    assert not rewriter.passes
    assert rewriter.feed(b'data: {"choices":[{"delta":{"role":"assistant"') == b""
    assert not rewriter.passes
    rewriter.feed(b"}}]}\n\ndata: {")
    assert rewriter.passes
    assert rewriter.feed(b"anything") == b"anything"
    assert rewriter.end() == b""


def test_a_first_event_without_an_end_passes_at_some_length() -> None:
    rows = answer_repairs(Backend.LLAMACPP, "/v1/messages", (), streams=True)
    rewriter = chained(answer_rewriters(rows, b"", "tiny", "req_1", streams=True))
    assert rewriter
    long = b"data: " + b"x" * 100_000
    assert rewriter.feed(long) == long
    assert rewriter.passes


def test_a_prompt_is_echoed_at_no_cost_by_the_number_of_answers_that_are_asked_for() -> None:
    """The engine is asked, and refuses so many, only after the answer's rewriter is made."""
    answer: dict[str, Any] = {"choices": [{"index": 1, "text": "x"}, {"index": 10**12, "text": "y"}]}
    PromptEcho({"prompt": ["a", "b"], "n": 10**12}).change(answer)
    assert [choice["text"] for choice in answer["choices"]] == ["ax", "by"]


@pytest.mark.parametrize(
    "answer",
    [b'{"choices":[{"logprobs":{"content":[{"token":"a"}]}}]}', b'{"choices":[{"logprobs":{"content":[5]}}]}'],
)
def test_an_answer_that_is_not_made_as_a_row_knows_it_fails_in_order(answer: bytes) -> None:
    sent = {"logprobs": 1}
    whole = Answered("/v1/completions", Backend.LLAMACPP, sent, answer, b"", streams=False)
    with pytest.raises(EngineFailedError):
        client_gets(whole, answer)
    event = b"data: " + answer + b"\n\n"
    assert client_gets(Answered("/v1/completions", Backend.LLAMACPP, sent, event, event), event) == event


def test_what_becomes_nested_too_deeply_is_refused() -> None:
    deep: Any = []
    for _ in range(251):
        deep = [deep]
    assert requested("/v1/completions", {"prompt": [0, deep], "n": 2}).repairs
    with pytest.raises(InvalidRequestError):
        engine_gets("/v1/completions", Backend.LLAMACPP, {"prompt": [0, deep], "n": 2})
