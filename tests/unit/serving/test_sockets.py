"""The sockets' options, by which the kernel notices a peer that vanished.

A dead node sends neither an end nor a reset, which no test on loopback can play: the kernel itself answers there. So
the options are looked at, on both sides of the router; what they do is the kernel's to keep. Keep-alive probes find the
peer of an idle connection, TCP_USER_TIMEOUT that of one with bytes on their way.
"""

import asyncio
import socket
from typing import cast

import pytest

from berth_router.serving.client import ClientConnection
from berth_router.serving.engine import EngineConnection
from tests.unit.router.conftest import MODEL
from tests.unit.serving.conftest import Raw
from tests.unit.serving.wire import Wire, chat, request

LEVEL = socket.IPPROTO_TCP


class Seen:
    """The transports of the connections that were made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type[asyncio.Protocol]) -> None:
        self.transports: list[asyncio.Transport] = []
        made = kind.connection_made

        def connection_made(protocol: asyncio.Protocol, transport: asyncio.BaseTransport) -> None:
            self.transports.append(cast("asyncio.Transport", transport))
            made(protocol, transport)

        monkeypatch.setattr(kind, "connection_made", connection_made)

    def option(self, level: int, option: int) -> int:
        return self.transports[-1].get_extra_info("socket").getsockopt(level, option)


@pytest.mark.parametrize("settings", [{"peer_seconds": 20, "stalled_client_seconds": 45}], indirect=True)
async def test_peers_that_are_gone_without_a_word_are_noticed(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    clients, engines = Seen(monkeypatch, ClientConnection), Seen(monkeypatch, EngineConnection)
    with await Wire.connect(raw.port) as wire:
        await wire.send(request(chat(MODEL)))
        await raw.asked()
        with await Wire.connect(raw.port) as second:  # its request needs a connection of its own to the engine
            await second.send(request(chat(MODEL)))
            engine = await raw.engine.connection()
            await engine.request()
            for seen in (clients, engines):
                assert seen.option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert seen.option(LEVEL, socket.TCP_NODELAY)
                probes = seen.option(LEVEL, socket.TCP_KEEPCNT) * seen.option(LEVEL, socket.TCP_KEEPINTVL)
                assert seen.option(LEVEL, socket.TCP_KEEPIDLE) + probes == 20
            assert engines.option(LEVEL, socket.TCP_USER_TIMEOUT) == 20_000
            # The kernel counts a peer that acknowledges but takes nothing in: a client may do that for longer.
            assert clients.option(LEVEL, socket.TCP_USER_TIMEOUT) == 45_000


async def test_a_socket_that_is_given_up_on_its_way_to_the_event_loop_is_closed_once() -> None:
    """The number of one that is closed twice belongs to somebody else by then. uvloop before 0.23 did that."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connected = socket.create_connection(listener.getsockname())
        connected.setblocking(False)
        connecting = asyncio.create_task(loop.create_connection(asyncio.Protocol, sock=connected))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.sleep(0)
        assert connected.fileno() == -1
