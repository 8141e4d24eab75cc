"""A program that stands for `llama-server`, and misbehaves when a prompt says so.

python engine.py --port N --host ADDRESS ...
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONTEXT = 3_000
"""Characters of messages that it takes."""


class Handler(BaseHTTPRequestHandler):
    """Streams words. A prompt with "crash" kills this process in between.

    The answer to "on and on" never ends, and that to "until FILE" ends when the file is there. "think" has it think
    before, "say nothing" end without a word, "cut" end at a limit, "escape" say what commands a terminal, and "repeat"
    say what it was told. It takes no more than CONTEXT characters.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._begin("application/json")
        self._send(b"{}")
        self._send(b"")

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = str(request["messages"])
        print(f"asked: {prompt}", flush=True)
        if len(prompt) > CONTEXT:
            self._refuse()
            return
        self._begin("text/event-stream")
        last = str(request["messages"][-1]["content"])
        try:
            if "think" in last:
                self._event({"delta": {"reasoning_content": "let me see"}})
            if told := self._says(last, request["messages"]):
                self._word(told)
            if told is not None:
                self._event({"delta": {}, "finish_reason": "length" if "cut" in last else "stop"})
                self._send(b"data: [DONE]\n\n")
                self._send(b"")
                return
            self._word("Par")
            while "on and on" in prompt:
                time.sleep(0.01)
                self._word("and on ")
            if until := re.search(r"until (\S+?)['\" ]", prompt):
                while not Path(until[1]).exists():
                    time.sleep(0.01)
            if "crash" in prompt:
                print("the engine breaks", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            self._word("is.")
            self._send(b"data: [DONE]\n\n")
            self._send(b"")
        except OSError:
            self.close_connection = True

    def _says(self, last: str, messages: list[dict[str, Any]]) -> str | None:
        """The whole answer to the last question. None: it is another one's."""
        if "say nothing" in last:
            return ""
        if "escape" in last:
            return "\x1b[31mred\x07\x9b2J"
        if "repeat" in last:
            return " / ".join(str(message["content"]) for message in messages)
        return "half" if "cut" in last else None

    def _refuse(self) -> None:
        content = json.dumps({"error": {"message": "the request exceeds the available context size"}}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name in the standard library)
        """Says nothing of each request."""

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _word(self, word: str) -> None:
        self._event({"delta": {"content": word}})

    def _event(self, choice: dict[str, Any]) -> None:
        self._send(b"data: " + json.dumps({"choices": [{"index": 0, **choice}]}).encode() + b"\n\n")

    def _send(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def install(directory: Path) -> None:
    """Makes it the `llama-server` of a PATH that begins with the directory."""
    directory.mkdir(exist_ok=True)
    program = directory / "llama-server"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
    program.chmod(0o755)


if __name__ == "__main__":
    at = sys.argv.index
    # As vLLM's workers are: in a session of their own, and not a child of who starts them any more.
    subprocess.Popen(["sh", "-c", "setsid sleep 1000 & sleep 1000"], start_new_session=True)
    address = (sys.argv[at("--host") + 1], int(sys.argv[at("--port") + 1]))
    ThreadingHTTPServer(address, Handler).serve_forever()
