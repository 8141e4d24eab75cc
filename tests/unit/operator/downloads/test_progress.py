"""What a download says of itself, and the speed that follows from it."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from berth_api.download_report import DownloadReport, DownloadStep
from berth_operator.downloads.progress import ProgressReader, Speedometer
from tests.unit.operator.downloads.building import last_word, progress


def test_speed_is_that_of_the_last_seconds() -> None:
    speedometer = Speedometer()
    assert speedometer.add(100.0, 5_000) is None
    assert speedometer.add(101.0, 6_000) == 1_000
    speeds = [speedometer.add(100.0 + second, 6_000) for second in range(2, 20)]
    assert (speeds[0], speeds[-1]) == (500, 0)


def test_another_process_counts_anew() -> None:
    speedometer = Speedometer()
    speedometer.add(0.0, 0)
    assert speedometer.add(1.0, 1_000) == 1_000
    assert speedometer.add(2.0, 10) is None
    assert speedometer.add(3.0, 30) == 20


def test_the_time_that_is_left_is_told_only_while_it_moves() -> None:
    assert progress(speed=58).eta_seconds == 10
    assert progress(speed=0).eta_seconds is None
    assert progress(speed=None).eta_seconds is None
    assert progress(bytesTotal=None).eta_seconds is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "ready",
        '{"phase": "Sleeping"}',
        '{"phase": "Listing", "bytesDone": -1}',
        '{"phase": "Listing"',
        "{" * 5000,
    ],
)
def test_what_is_no_report_is_none(text: str) -> None:
    assert DownloadReport.parse(text) is None


async def test_a_download_is_asked_over_http() -> None:
    answers = iter(
        [web.Response(text=last_word("Verifying")), web.Response(status=500), web.Response(text="x" * 10_000)]
    )

    async def answer(_: web.Request) -> web.Response:
        return next(answers)

    application = web.Application()
    application.router.add_get("/progress", answer)
    async with TestServer(application) as server, ProgressReader() as reader:
        url = str(server.make_url("/progress"))
        report = await reader.read(url)
        assert report
        assert (report.phase, report.bytes_done) == (DownloadStep.VERIFYING, 420)
        assert await reader.read(url) is None
        assert await reader.read(url) is None
    async with ProgressReader() as reader:
        assert await reader.read(url) is None
