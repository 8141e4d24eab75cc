"""Waits until nobody is connected to the engine. The kubelet runs it in the engine's container before it ends that.

/usr/bin/python3 -IS drain.py --port PORT

So the engine finishes the answers under way when somebody deletes the pod or drains its node. The pod's grace bounds
the wait: when it is over, the kubelet ends the container, and this program with it. It never fails: what it cannot read
is no connection to wait for.

The engine beside it may need all memory, so this program loads the interpreter and nothing else.
"""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
"""The kernel's tables of connections, of the pod's own network: a line for each."""

LOOK_SECONDS = 0.1
CLEAR_LOOKS = 2
"""Looks in a row: a router's request may be on its way. A probe of the kubelet costs one look more."""

_ESTABLISHED = "01"
_SENDING_THE_LAST = ("04", "09", "0B")
"""FIN_WAIT1, LAST_ACK, CLOSING: the engine has closed, but the kernel may still have bytes of it to send."""


def open_connections(lines: Iterable[str], port: int) -> int:
    """How many connections in a table are to this port and may still have bytes to pass.

    A line is `NUMBER: LOCAL_ADDRESS:PORT REMOTE_ADDRESS:PORT STATE TO_SEND:TO_READ ...`, in hexadecimal
    (Documentation/networking/proc_net_tcp.rst in the kernel's source).
    """
    wanted = f":{port:04X}"
    found = 0
    for line in lines:
        fields = line.split()
        if len(fields) < 5 or not fields[1].endswith(wanted):
            continue
        state, to_send = fields[3], fields[4].partition(":")[0]
        if state == _ESTABLISHED or (state in _SENDING_THE_LAST and to_send.strip("0")):
            found += 1
    return found


def wait_until_clear(look: Callable[[], int], pause: Callable[[], None]) -> None:
    """Returns when `CLEAR_LOOKS` looks in a row found no connection. Pauses between two looks."""
    clear = 0
    while True:
        clear = 0 if look() else clear + 1
        if clear == CLEAR_LOOKS:
            return
        pause()


def _look(port: int) -> int:
    found = 0
    for path in TABLES:
        try:
            with open(path) as table:  # noqa: PTH123 (pathlib takes longer to load than all else here)
                found += open_connections(table, port)
        except OSError:
            continue  # a kernel without that family
    return found


def main(arguments: Sequence[str]) -> int:
    """Runs the program."""
    if len(arguments) != 2 or arguments[0] != "--port" or not arguments[1].isdigit():
        print("drain: --port PORT, the engine's", file=sys.stderr)
        return 2
    port = int(arguments[1])
    wait_until_clear(lambda: _look(port), lambda: time.sleep(LOOK_SECONDS))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
