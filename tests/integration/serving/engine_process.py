"""Bench engines in a process of their own: `python -m tests.integration.serving.engine_process COUNT`.

It prints its ports, and answers each line on stdin with what its engines have seen, as JSON.
"""

import asyncio
import json
import resource
import sys
from dataclasses import asdict

import uvloop

from tests.integration.serving.behaviours import BEHAVIOURS
from tests.integration.serving.calls import Call, GoneError, Record


async def serve(record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers a connection's requests, one after the other."""
    record.connections += 1
    call = Call(record, reader, writer)
    try:
        while True:
            await call.read()
            record.running += 1
            try:
                await BEHAVIOURS[call.prompt.do](call)
            finally:
                record.running -= 1
    except GoneError:
        pass
    except Exception as error:  # noqa: BLE001 (reported with all the rest)
        record.faults.append(f"{call.prompt.do}: {error!r}")
    finally:
        record.connections -= 1
        writer.close()


async def main(count: int) -> None:
    """Serves until stdin ends."""
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft_limit, hard_limit), hard_limit))
    record = Record()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(record, reader, writer)

    servers = [await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024) for _ in range(count)]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(asdict(record)), flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
