"""ModelNameReplacer: the model's name in an answer that comes in pieces, cut anywhere."""

import orjson
import pytest

from berth_router.serving.rewriting import ModelNameReplacer

OLD, NEW = "/models/tiny@main", "tiny@fast"


def renamed(*pieces: bytes) -> bytes:
    replacer = ModelNameReplacer([OLD, "/models/other"], NEW)
    return b"".join([replacer.feed(piece) for piece in pieces]) + replacer.end()


ANSWERS = [
    orjson.dumps({"id": "1", "model": OLD, "choices": [{"message": {"content": f'He said "model":"{OLD}" twice.'}}]}),
    b'{"id": "1", "model": "/models/tiny@main", "choices": []}',
    b'data: {"model":"/models/tiny@main"}\n\ndata: {"response": {"model": "/models/tiny@main"}}\n\ndata: [DONE]\n\n',
    b'{"model":"/models/tiny@mainly","m":"model","model":"/models/tiny@main"}',
    b'"model":"model":"/models/tiny@main"',
]
EXPECTED = [
    orjson.dumps({"id": "1", "model": NEW, "choices": [{"message": {"content": f'He said "model":"{OLD}" twice.'}}]}),
    b'{"id": "1", "model": "tiny@fast", "choices": []}',
    b'data: {"model":"tiny@fast"}\n\ndata: {"response": {"model": "tiny@fast"}}\n\ndata: [DONE]\n\n',
    b'{"model":"/models/tiny@mainly","m":"model","model":"tiny@fast"}',
    b'"model":"model":"tiny@fast"',
]


@pytest.mark.parametrize(("answer", "expected"), list(zip(ANSWERS, EXPECTED, strict=True)))
def test_the_name_is_replaced_wherever_the_answer_is_cut(answer: bytes, expected: bytes) -> None:
    assert renamed(answer) == expected
    assert renamed(*(bytes([byte]) for byte in answer)) == expected
    for first in range(len(answer) + 1):
        assert renamed(answer[:first], answer[first:]) == expected
        for second in range(first, min(first + 40, len(answer)) + 1):
            assert renamed(answer[:first], answer[first:second], answer[second:]) == expected


def test_nothing_is_held_back_of_what_cannot_be_the_beginning_of_the_name() -> None:
    replacer = ModelNameReplacer([OLD, "/models/other"], NEW)
    event = b'data: {"model":"/models/tiny@main","choices":[{"delta":{"content":" word"}}]}\n\n'
    assert replacer.feed(event).endswith(b'"}}]}\n\n')
    assert replacer.feed(b'{"model":"/models') == b"{"
    assert replacer.feed(b'/large"}') == b'"model":"/models/large"}'


def test_a_name_that_needs_escaping_is_escaped() -> None:
    replacer = ModelNameReplacer(["/models/tiny"], 'a"b')
    assert replacer.feed(b'{"model":"/models/tiny"}') == b'{"model":"a\\"b"}'


def test_each_of_several_names_is_replaced() -> None:
    assert (
        renamed(b'[{"model":"/models/other"},{"model":"/models/tiny@main"}]')
        == b'[{"model":"tiny@fast"},{"model":"tiny@fast"}]'
    )


def test_what_bears_the_name_already_needs_no_replacer() -> None:
    assert ModelNameReplacer.if_needed(("/models/tiny",), "/models/tiny") is None
    assert ModelNameReplacer.if_needed(("/models/tiny", "/models/tiny@main"), "/models/tiny")
