"""Options of sockets: how a peer that is gone without a word is noticed, and how one is told of a break."""

import asyncio
import socket
import struct

_PROBES = 3


def keep_alive(connection: socket.socket, seconds: float, unread_seconds: float = 0) -> None:
    """Has the kernel end the connection when its peer acknowledges nothing for about so many seconds. A listener's
    connections inherit it.

    A peer that is merely stopped, or slow, still acknowledges. Linux ends its connection too, once the peer has had no
    room for what is on its way to it for as long: for `unread_seconds`, where those are more.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    interval = max(1, round(seconds / (_PROBES + 1)))
    options = {
        "TCP_KEEPIDLE": interval,
        "TCP_KEEPALIVE": interval,  # what macOS calls TCP_KEEPIDLE
        "TCP_KEEPINTVL": interval,
        "TCP_KEEPCNT": _PROBES,
        # Of bytes that were sent: keep-alive probes are not sent while there are some.
        "TCP_USER_TIMEOUT": round(max(seconds, unread_seconds) * 1000),
    }
    for name, value in options.items():
        option: int | None = getattr(socket, name, None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def end_with_reset(transport: asyncio.Transport) -> None:
    """Ends the connection so that its peer cannot take what it got for all there is."""
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
