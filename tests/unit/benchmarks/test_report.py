"""What the cold start's benchmark prints."""

import json

import pytest

from benchmarks.chat import AnswerError, text_of
from benchmarks.report import result, table
from benchmarks.steps import StartPair
from tests.unit.benchmarks.test_steps import BERTH_RUN, HAND_RUN

PAIRS = [StartPair(BERTH_RUN, HAND_RUN)] * 3


def test_the_result_is_one_object_in_milliseconds() -> None:
    assert json.loads(result(PAIRS)) == {
        "berth_share_p50_ms": 110.0,
        "first_token_p50_ms": 1290.0,
        "engine_alone_p50_ms": 1140.0,
    }


def test_the_table_has_every_step_beside_that_by_hand() -> None:
    rows = {line[:44].strip(): line[44:].split() for line in table(PAIRS).splitlines() if line}
    assert rows["resource created"] == ["20.0", "20.0", "-", "-"]
    assert rows["container started"] == ["540.0", "540.0", "580.0", "580.0"]
    assert rows["first token"] == ["60.0", "60.0", "40.0", "40.0"]
    assert rows["from the beginning to the first token"] == ["1290.0", "1290.0", "1140.0", "1140.0"]
    assert rows["Berth's own share"] == ["110.0", "110.0"]
    assert rows["a whole run through Berth less one by hand"] == ["150.0", "150.0"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b": waiting for /models/smol: Starting\n", ""),
        (b"\n", ""),
        (b"event: message\n", ""),
        (b'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}\n', ""),
        (b'data: {"choices": []}\n', ""),
        (b'data: {"choices": [{"delta": {"content": "The"}}]}\r\n', "The"),
        (b"data: [DONE]\n", ""),
    ],
)
def test_only_text_is_a_token(line: bytes, text: str) -> None:
    assert text_of(line) == text


def test_an_error_in_the_stream_is_no_answer() -> None:
    with pytest.raises(AnswerError, match="OOMKilled"):
        text_of(b'data: {"error": {"message": "OOMKilled: the engine needs more memory"}}\n')
