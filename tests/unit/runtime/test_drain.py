"""An engine's container ends once nobody is connected to it: the program that waits for that, with real connections."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from berth_operator.resources.pod import DRAIN
from berth_runtime import drain

PROGRAM = Path(drain.__file__)
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"


def line(state: str, port: str = "1F40", to_send: str = "00000000", address: str = "0500000A") -> str:
    return f"   1: {address}:{port} 0600000A:C350 {state} {to_send}:00000000 00:00000000 00000000 65532        0 4711 1"


@pytest.mark.parametrize(
    ("name", "table", "count"),
    [
        ("nobody", [HEADER, line("0A")], 0),
        ("a stream", [HEADER, line("0A"), line("01")], 1),
        ("a stream over IPv6", [line("01", address="0000000000000000FFFF00000500000A")], 1),
        ("two of them", [line("01"), line("01")], 2),
        ("one to another port", [line("01", port="1F41"), line("01", port="01F40")], 0),
        ("one that is over", [line("06"), line("05"), line("08"), line("07")], 0),
        (
            "one that is over, but for what is still to be sent",
            [line("04", to_send="000001C8"), line("09", to_send="1")],
            2,
        ),
        ("one that is over and told", [line("04"), line("09")], 0),
        ("lines of another form", ["", "x", "a b c d e f", line("01")[:20]], 0),
    ],
)
def test_connections_are_counted_over_which_something_may_still_go(name: str, table: list[str], count: int) -> None:
    assert drain.open_connections(table, 8000) == count, name


@pytest.mark.parametrize(
    ("name", "looks", "pauses"),
    [
        ("nobody is there", [0, 0], 1),
        ("a stream ends", [1, 1, 0, 0], 3),
        ("a request comes that was on its way", [0, 1, 0, 0], 3),
        ("a probe comes and goes", [1, 0, 1, 0, 0], 4),
    ],
)
def test_two_clear_looks_in_a_row_are_the_end(name: str, looks: list[int], pauses: int) -> None:
    paused: list[None] = []
    drain.wait_until_clear(lambda: looks.pop(0), lambda: paused.append(None))
    assert (looks, len(paused)) == ([], pauses), name


@pytest.fixture(params=["127.0.0.1", "::1"])
def connection(request: pytest.FixtureRequest) -> Iterator[tuple[int, socket.socket]]:
    """A port and a connection to it."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        listener = socket.create_server((request.param, 0), family=family)
    except OSError:
        pytest.skip(f"{request.param} cannot be used here")
    with listener, socket.create_connection(listener.getsockname()[:2]) as client, listener.accept()[0]:
        yield listener.getsockname()[1], client


async def test_the_program_waits_for_a_connection_and_ends_with_it(connection: tuple[int, socket.socket]) -> None:
    port, client = connection
    program = await asyncio.create_subprocess_exec(sys.executable, "-IS", PROGRAM, "--port", str(port))
    with pytest.raises(TimeoutError):  # that it goes on cannot be waited for
        await asyncio.wait_for(program.wait(), 1)
    client.close()
    async with asyncio.timeout(20):
        assert await program.wait() == 0


async def test_without_a_connection_it_ends_at_once() -> None:
    program = await asyncio.create_subprocess_exec(sys.executable, "-IS", PROGRAM, "--port", "1")
    async with asyncio.timeout(20):
        assert await program.wait() == 0


def test_it_says_how_it_is_called() -> None:
    done = subprocess.run([sys.executable, "-IS", PROGRAM, "--prot", "1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "drain: --port PORT, the engine's\n")


def test_the_pod_runs_it_where_the_images_have_it() -> None:
    containerfile = (Path(__file__).parents[3] / "runtime-image/Containerfile").read_text()
    assert "COPY runtime-image/src formats/src /opt/berth/" in containerfile
    assert DRAIN[-1] == f"/opt/berth/{PROGRAM.relative_to(PROGRAM.parents[1])}"
