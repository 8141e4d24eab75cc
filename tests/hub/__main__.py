"""Serves directories as repositories of a hub: `python -m tests.hub ORG/NAME=DIRECTORY...

[--host ADDRESS] [--port PORT]`.
"""

import argparse
import signal
from pathlib import Path

from tests.hub.server import HubServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="+", metavar="ORG/NAME=DIRECTORY")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    with HubServer(arguments.host, arguments.port) as hub:
        for text in arguments.repositories:
            name, _, directory = text.partition("=")
            root = Path(directory)
            hub.repository(name).commit(
                {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
            )
        print(hub.url, flush=True)
        signal.sigwait(ending)


if __name__ == "__main__":
    main()
