"""Engines are asked until they are ready and while they serve; who must know is woken when that turns."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from berth_operator.deployments.actions import ProbeTarget
from berth_operator.deployments.engine_watch import EngineWatch
from berth_operator.deployments.readiness import EngineProber
from berth_operator.engines.context import EngineContext
from berth_operator.settings import PROBE_TIMEOUT_SECONDS, Timing
from tests.unit.virtual_time import BEGINNING, run_in_virtual_time, wall_clock

ENGINE = ProbeTarget("uid-1", "http://10.0.0.1:8000/health")
LLAMACPP = ProbeTarget("uid-1", "http://10.0.0.1:8000/health", "http://10.0.0.1:8000/v1/models")
OTHER = ProbeTarget("uid-2", "http://10.0.0.2:8000/health")


class Setting:
    """An engine that answers or not, and who is woken."""

    def __init__(self) -> None:
        self.answers = False
        self.fault: Exception | None = None
        self.contexts: list[EngineContext | None] = []
        self.asked: list[tuple[float, str, float]] = []
        self.woken: list[float] = []
        self.slept = timedelta()
        """How much further the time of day is than the loop's clock."""
        self.watch = EngineWatch(
            self, Timing(), lambda name: self.woken.append(asyncio.get_running_loop().time()), self.clock
        )

    def clock(self) -> datetime:
        return wall_clock() + self.slept

    async def ask(self, url: str, seconds: float) -> str | None:
        self.asked.append((asyncio.get_running_loop().time(), url, seconds))
        if self.fault:
            raise self.fault
        if not self.answers:
            await asyncio.sleep(seconds)
            return f"no answer within {seconds:g} s"
        return None

    async def context(self, url: str, seconds: float, owner: str = "") -> EngineContext | None:
        assert (url, seconds) == (LLAMACPP.models_url, 1)
        return self.contexts.pop(0)

    def since_beginning(self) -> tuple[float | None, float | None]:
        """Seconds from the beginning to the last answer, and to where the silence began."""
        probes = self.watch.history("smol")
        assert probes
        moments = (probes.answered_at, probes.silent_since)
        answered, silent = ((moment - BEGINNING).total_seconds() if moment else None for moment in moments)
        return answered, silent


def virtual(test: Callable[[Setting], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Has a test run in virtual time."""

    @wraps(test)
    def run() -> None:
        async def whole() -> None:
            setting = Setting()
            await test(setting)
            await setting.watch.close()

        run_in_virtual_time(whole())

    del run.__wrapped__  # pytest would take its argument for a fixture
    return run


@virtual
async def test_its_first_answer_wakes_and_the_silence_before_does_not(setting: Setting) -> None:
    setting.watch.probe("smol", ENGINE)
    await asyncio.sleep(5)
    assert setting.woken == []
    setting.answers = True
    await asyncio.sleep(3)
    assert len(setting.woken) == 1
    assert setting.since_beginning()[1] is None


@virtual
async def test_while_it_answers_it_is_asked_every_ten_seconds_and_nobody_is_woken(setting: Setting) -> None:
    setting.answers = True
    setting.watch.probe("smol", ENGINE)
    await asyncio.sleep(100.5)
    assert [moment for moment, _, _ in setting.asked] == [10.0 * number for number in range(11)]
    assert setting.woken == [0]
    assert {seconds for _, _, seconds in setting.asked[1:]} == {PROBE_TIMEOUT_SECONDS}


@virtual
async def test_the_time_in_which_the_machine_slept_is_no_silence(setting: Setting) -> None:
    setting.answers = True
    setting.watch.probe("smol", ENGINE)
    await asyncio.sleep(15)
    setting.slept, setting.answers = timedelta(hours=1), False
    await asyncio.sleep(11)
    assert setting.since_beginning() == (10, 3600 + 25 - 15)  # a question is due every 10 s, and waits for 5 s


@virtual
async def test_silence_counts_from_the_last_answer_and_wakes_once(setting: Setting) -> None:
    setting.answers = True
    setting.watch.probe("smol", ENGINE)
    await asyncio.sleep(1)
    setting.answers = False
    await asyncio.sleep(59)
    assert setting.woken == [0, 15], "a question after 10 s, of which no answer came within 5"
    assert setting.since_beginning() == (0, 0)
    assert len(setting.asked) >= 8, "then it is asked more often"


@virtual
async def test_it_is_known_within_seconds_that_it_answers_again(setting: Setting) -> None:
    setting.answers = True
    setting.watch.probe("smol", ENGINE)
    await asyncio.sleep(1)
    setting.answers = False
    await asyncio.sleep(30)
    setting.answers = True
    await asyncio.sleep(PROBE_TIMEOUT_SECONDS + 2)
    assert len(setting.woken) == 3
    assert setting.since_beginning()[1] is None


@virtual
async def test_the_words_for_a_silence_are_those_of_its_beginning(setting: Setting) -> None:
    setting.answers = True
    setting.watch.probe("smol", ENGINE)
    await asyncio.sleep(1)
    setting.fault = ConnectionResetError("reset")
    await asyncio.sleep(12)
    probes = setting.watch.history("smol")
    setting.fault, setting.answers = None, False
    await asyncio.sleep(20)
    later = setting.watch.history("smol")
    assert probes
    assert later
    assert probes.silence == later.silence == "the operator failed to ask it", "an unexpected fault ends no watch"


@virtual
async def test_another_engine_is_asked_in_its_place(setting: Setting) -> None:
    setting.answers = True
    setting.watch.probe("smol", ENGINE)
    await asyncio.sleep(1)
    setting.watch.probe("smol", OTHER)
    probes = setting.watch.history("smol")
    assert probes
    assert (probes.pod, probes.answered_at) == ("uid-2", None), "nothing is known of it yet"
    await asyncio.sleep(60)
    assert {url for moment, url, _ in setting.asked if moment >= 1} == {OTHER.url}


@virtual
async def test_its_context_is_asked_before_anybody_is_woken_and_again_until_it_is_told(setting: Setting) -> None:
    setting.answers = True
    setting.contexts = [None, EngineContext(4096, 8192)]
    setting.watch.probe("smol", LLAMACPP)
    await asyncio.sleep(35)
    probes = setting.watch.history("smol")
    assert probes
    assert probes.context == EngineContext(4096, 8192)
    assert setting.woken == [0, 10]


async def test_an_engines_context_is_read_with_its_key() -> None:
    async def models(request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer secret":
            return web.Response(status=401)
        return web.json_response({"data": [{"max_model_len": 2048}]})

    async def long(_: web.Request) -> web.Response:
        return web.Response(body=b'{"data": [{"max_model_len": 2048}]' + b" " * 1_000_000 + b"}")

    application = web.Application()
    application.router.add_get("/v1/models", models)
    application.router.add_get("/long", long)
    async with TestServer(application, host="127.0.0.1") as server:
        base = str(server.make_url("")).rstrip("/")
        async with EngineProber() as prober:
            assert await prober.context(f"{base}/long", 10) is None, "it is read no further than a list of one model is"
        async with EngineProber(lambda url, _: {base: "secret"}.get(url)) as prober:
            assert await prober.context(f"{base}/v1/models", 10) == EngineContext(2048)
            assert await prober.context(f"{base}/elsewhere", 10) is None
        async with EngineProber() as prober:
            assert await prober.context(f"{base}/v1/models", 10) is None
    async with EngineProber() as prober:
        assert await prober.context(f"{base}/v1/models", 10) is None, "nobody listens"


@virtual
async def test_nobody_is_asked_any_more_once_it_is_forgotten(setting: Setting) -> None:
    setting.answers = True
    setting.watch.probe("smol", ENGINE)
    await asyncio.sleep(1)
    setting.watch.probe("smol", None)
    asked = len(setting.asked)
    await asyncio.sleep(60)
    assert len(setting.asked) == asked
    assert setting.watch.history("smol") is None


async def test_an_engine_is_asked_over_http_and_no_connection_is_kept() -> None:
    answers = iter(
        [web.Response(), web.Response(status=503), web.Response(status=302, headers={"location": "/elsewhere"})]
    )
    kept: list[bool] = []
    hang = asyncio.Event()

    async def health(request: web.Request) -> web.Response:
        kept.append(request.keep_alive)
        if answer := next(answers, None):
            return answer
        await hang.wait()
        return web.Response()

    application = web.Application()
    application.router.add_get("/health", health)
    async with EngineProber() as prober:
        async with TestServer(application, host="127.0.0.1") as server:
            url = str(server.make_url("/health"))
            said = [
                await prober.ask(url, 10),
                await prober.ask(url, 10),
                await prober.ask(url, 10),
                await prober.ask(url, 0.05),
            ]
            hang.set()
        gone = await prober.ask(url, 10)
    assert said == [None, "it answers with status 503", "it answers with status 302", "no answer within 0.05 s"]
    assert gone == "Connection refused"
    assert kept == [False] * 4


async def test_who_asks_outside_of_its_context_is_told() -> None:
    with pytest.raises(RuntimeError, match="outside of its context"):
        await EngineProber().ask("http://127.0.0.1:1", 1)
