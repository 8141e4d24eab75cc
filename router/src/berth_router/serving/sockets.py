"""Options of sockets: how the kernel notices a peer that vanished, and how a peer learns that an answer was cut off."""

import asyncio
import socket
import struct

_PROBES = 3


def set_peer_timeout(connection: socket.socket, seconds: float, unread_seconds: float = 0) -> None:
    """Has the kernel end the connection when its peer acknowledges nothing for about so many seconds.

    A listener's connections inherit it. A peer that is merely stopped, or slow, still acknowledges. But Linux also ends
    the connection of a peer that has no room for sent bytes for as long: for `unread_seconds`, where those are more.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    interval = max(1, round(seconds / (_PROBES + 1)))
    options = {
        "TCP_KEEPIDLE": interval,
        "TCP_KEEPALIVE": interval,  # what macOS calls TCP_KEEPIDLE
        "TCP_KEEPINTVL": interval,
        "TCP_KEEPCNT": _PROBES,
        # For bytes that were sent: while some are on their way, the kernel sends no keep-alive probes.
        "TCP_USER_TIMEOUT": round(max(seconds, unread_seconds) * 1000),
    }
    for name, value in options.items():
        option: int | None = getattr(socket, name, None)
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def reset_connection(transport: asyncio.Transport) -> None:
    """Ends the connection with a reset, so that its peer cannot take what it got for the whole answer."""
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
