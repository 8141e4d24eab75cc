"""Engines that end while they have a request: which requests go to the next engine, and which must not."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from berth_cluster.cluster import MODEL_DEPLOYMENTS
from tests.unit.router.conftest import MODEL
from tests.unit.serving.conftest import Raw
from tests.unit.serving.raw_engine import CHUNKED, EVENTS, RawEngine, counted
from tests.unit.serving.wire import Wire, chat, chunked, request

ASK = request(chat(MODEL))
STREAM = request(chat(MODEL, stream=True))


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason of an engine's end always comes in time."""
    monkeypatch.setattr("berth_router.serving.inference._REASON_SECONDS", 20)


async def ready_at(raw: Raw, url: str) -> None:
    now = datetime.now(UTC).isoformat()
    await raw.serving.set_status(raw.deployment, phase="Ready", endpoint=url, loadedAt=now, conditions=[])


async def failed(raw: Raw, reason: str = "EngineExited", message: str = "killed by signal 11") -> None:
    """The engine ended by itself."""
    at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    failure = {"reason": reason, "message": message, "at": at, "count": 1}
    await raw.serving.set_status(raw.deployment, phase="Starting", endpoint=None, lastFailure=failure)


@pytest.mark.parametrize("asked", [ASK, STREAM], ids=["plain", "stream"])
@pytest.mark.parametrize("kept_alive", [True, False])
async def test_a_request_whose_engine_dies_of_it_goes_to_no_other(raw: Raw, asked: bytes, kept_alive: bool) -> None:
    with RawEngine() as other, await Wire.connect(raw.port) as wire:
        if not kept_alive:
            raw.idle.socket.close()
        await wire.send(asked)
        await raw.asked()
        raw.engine.stop()
        await failed(raw)
        answer = await wire.answer()
        assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (502, "engine_failed", "2")
        assert "EngineExited: killed by signal 11" in answer.error["message"]
        # The engine had no other request, so this one may be why: OpenAI's clients would send it again by themselves.
        assert answer.headers["x-should-retry"] == "false"
        await ready_at(raw, other.url)
        await raw.serving.in_hand(0)
        assert not other.asked
        # The client itself may send it again.
        await wire.send(ASK)
        engine = await other.connection()
        await engine.request()
        engine.send(counted(b"{}"))
        assert (await wire.answer()).status == 200


@pytest.mark.covers("502 engine_failed")
async def test_requests_that_were_not_alone_may_be_sent_again_by_their_clients(raw: Raw) -> None:
    with await Wire.connect(raw.port) as first, await Wire.connect(raw.port) as second:
        await first.send(ASK)
        await raw.asked()
        await second.send(ASK)
        await (await raw.engine.connection()).request()
        raw.engine.stop()
        await failed(raw)
        answers = [await first.answer(), await second.answer()]
        assert [answer.status for answer in answers] == [502, 502]
        for answer in answers:
            assert "x-should-retry" not in answer.headers
            assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize("asked", [ASK, STREAM], ids=["plain", "stream"])
async def test_a_request_whose_engine_was_taken_away_goes_to_the_next_one(raw: Raw, asked: bytes) -> None:
    with RawEngine() as other, await Wire.connect(raw.port) as wire:
        await wire.send(asked)
        await raw.asked()
        raw.engine.stop()
        await raw.serving.set_status(raw.deployment, phase="Starting", endpoint=None, podName="the-next-one")
        await ready_at(raw, other.url)
        engine = await other.connection()
        assert (await engine.request())["messages"]
        engine.send(counted(b"the other one's") if asked is ASK else EVENTS + CHUNKED + chunked(b"the other one's"))
        answer = await wire.answer()
        assert (answer.status, answer.whole) == (200, True)
        assert answer.body.endswith(b"the other one's"), "a stream begins with comments on what it waits for"
        assert not other.asked


async def test_a_request_whose_deployment_was_deleted_gets_another_one(raw: Raw) -> None:
    with RawEngine() as other, await Wire.connect(raw.port) as wire:
        await wire.send(ASK)
        await raw.asked()
        raw.engine.stop()
        await raw.serving.cluster.delete(MODEL_DEPLOYMENTS, raw.deployment)
        assert await raw.serving.created() == raw.deployment
        await ready_at(raw, other.url)
        engine = await other.connection()
        await engine.request()
        engine.send(counted(b"{}"))
        assert (await wire.answer()).status == 200


async def test_a_request_on_a_connection_that_its_engine_had_closed_is_sent_again_once(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(ASK)
        await raw.idle.request()
        raw.idle.socket.close()  # after the request had gone out, before a byte came back
        again = await raw.engine.connection()
        await again.request()
        again.socket.close()
        await failed(raw)
        assert (await wire.answer()).status == 502
        assert not raw.engine.asked


async def test_a_request_on_which_its_engine_has_worked_is_not_sent_again(
    raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("berth_router.serving.exchange._STALE_SECONDS", 0.1)
    with await Wire.connect(raw.port) as wire:
        await wire.send(ASK)
        await raw.idle.request()
        await asyncio.sleep(0.2)
        raw.idle.socket.close()
        await failed(raw)
        assert (await wire.answer()).status == 502
        assert not raw.engine.asked


async def test_a_request_of_whose_answer_a_byte_came_is_not_sent_again(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(ASK)
        await raw.idle.request()
        raw.idle.send(b"H")
        await asyncio.sleep(0.01)
        raw.idle.socket.close()
        await failed(raw)
        assert (await wire.answer()).status == 502
        assert not raw.engine.asked


async def test_a_stream_that_breaks_while_its_pod_is_taken_away_ends_with_an_error(raw: Raw) -> None:
    """The answer has begun, so no engine can begin it again."""
    with await Wire.connect(raw.port) as wire:
        await wire.send(STREAM)
        await raw.asked()
        whole = b'data: {"role":"assistant"}\n\n'
        raw.idle.send(EVENTS + CHUNKED + b"%x\r\n%b\r\na\r\ndata: half\r\n" % (len(whole), whole))
        await wire.until(b"data: half")
        raw.engine.stop()
        await raw.serving.set_status(raw.deployment, phase="Pending", endpoint=None)
        rest = await wire.until(b"0\r\n\r\n")
        assert b'\n\ndata: {"error"' in rest, "the half event before it is no part of it"
        assert b"Its pod was deleted" in rest
        assert b"[DONE]" not in rest


async def test_no_engine_is_tried_more_than_five_times(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_router.serving.inference._CHANGE_SECONDS", 0.01)
    raw.engine.stop()
    with await Wire.connect(raw.port) as wire:
        answer = await wire.ask(ASK)
        assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "engine_unreachable", "2")
        assert answer.error["message"] == f"The engine of {MODEL} cannot be reached."
