"""Serves a download's progress as JSON: GET /progress."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from berth_hub.progress import ProgressTracker, report_text

_REQUEST_SECONDS = 5


@contextmanager
def serve_progress(progress: ProgressTracker, host: str, port: int) -> Generator[int]:
    """Answers on this address while its block runs. Gives the port: the kernel chooses it if `port` is 0.

    Raises OSError.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS

        def do_GET(self) -> None:
            """Answers one request."""
            known = self.path == "/progress"
            body = (report_text(progress.report()) if known else '{"error": "only /progress is served"}').encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
            """Logs nothing: a request comes every second."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="progress", daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
