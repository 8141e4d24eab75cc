"""Waits until nobody is connected to the engine: what the kubelet runs in the engine's container before it ends it.

/usr/bin/python3 -IS drain.py --port PORT

So the answers under way are made to their end when somebody deletes the pod, as by the drain of a node. The pod's grace
bounds the wait: when it is over, the kubelet ends the container, and this program with it. It never fails: what it
cannot read is no connection to wait for.

It runs beside an engine that may need all of the memory there is, so it loads the interpreter and nothing else.
"""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
"""The kernel's connections, of the pod's own network: a line each."""

LOOK_SECONDS = 0.2
CLEAR_LOOKS = 2
"""In a row: a router's request may be on its way. A kubelet's probe, which comes and goes, costs one look more."""

_ESTABLISHED = "01"
_SENDING_THE_LAST = ("04", "09", "0B")
"""FIN_WAIT1, LAST_ACK, CLOSING: the engine has ended the connection, but the kernel may still hold what it wrote."""


def open_connections(lines: Iterable[str], port: int) -> int:
    """How many connections of a table of the kernel's are to this port and may still have something to pass.

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
    """Returns when there was no connection for `CLEAR_LOOKS` looks in a row; between two looks it pauses."""
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
