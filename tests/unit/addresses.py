"""Where the engines and the programs of tests listen."""

import itertools
import os
import socket
import sys

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_numbers = itertools.count(1)


def own_address() -> str:
    """An address of loopback that no other engine of this run ever has.

    A kernel gives a port out again soon after it is closed. Whoever still knew it, in this process of tests or in
    another one, would ask an engine that is not his. Only Linux has more addresses than one.
    """
    if sys.platform != "linux":
        return "127.0.0.1"
    number = next(_numbers)
    return f"127.{_WORKER + 1}.{number >> 8}.{number & 255}"


def free_port() -> int:
    """A port on which nobody listened a moment ago: for a program that takes a port, and no address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
