"""A stand-in for the Hugging Face Hub: its API, files with LFS and redirects, ranges, gates, and faults.

Large files come from a second port, as the hub's come from a content network: another origin, to which no token may go.
"""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from tests.hub.faults import Fault
from tests.hub.repositories import HostedFile, HostedRepository

_PIECE = 1 << 16
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_RESOLVE = re.compile(r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_API = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+?)(/(?P<what>revision|tree)/(?P<revision>[^/]+))?(/)?")


class HubServer:
    """Two ports of one hub, while the block runs."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.repositories: dict[str, HostedRepository] = {}
        self.tokens: set[str] = set()
        """With access to what is gated or private."""

        self.faults: list[Fault] = []
        self.bytes_per_second: int | None = None
        """Of each answer."""

        self.slow: dict[str, int] = {}
        """Bytes a second of each answer with this file."""

        self.sent: dict[str, int] = {}
        """Bytes of content by the file's path."""

        self.requests: list[tuple[str, str]] = []
        """Method and path of all, in order; those for content begin with `/cdn`."""

        self.tokens_at_cdn = 0
        """Requests to the content network that carried a token."""

        self.closed = threading.Event()
        self.lock = threading.RLock()
        self.progressed = threading.Condition(self.lock)
        """Told whenever content was sent."""

        self._front = self._listen(host, port, _Front)
        self._cdn = self._listen(host, 0, _Cdn)
        self.url = f"http://{host}:{self._front.server_address[1]}"
        self.cdn_url = f"http://{host}:{self._cdn.server_address[1]}"

    def __enter__(self) -> Self:
        for server in (self._front, self._cdn):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        for server in (self._front, self._cdn):
            server.shutdown()
            server.server_close()

    def repository(self, name: str, **options: Any) -> HostedRepository:
        """A new repository."""
        self.repositories[name] = HostedRepository(name, **options)
        return self.repositories[name]

    def fault(self, path: str) -> Fault:
        """What goes wrong in this request."""
        with self.lock:
            return next((fault for fault in self.faults if fault.take(path.rsplit("/", 1)[-1])), Fault(path, times=0))

    def count(self, path: str, size: int) -> None:
        """Bytes of content that were sent."""
        with self.lock:
            self.sent[path] = self.sent.get(path, 0) + size
            self.progressed.notify_all()

    def until_sent(self, size: int, path: str | None = None) -> None:
        """Waits until so many bytes of a file, or of all files, were sent."""
        with self.progressed:
            reached = self.progressed.wait_for(
                lambda: (self.sent.get(path, 0) if path else sum(self.sent.values())) >= size, timeout=120
            )
        assert reached, f"of {path or 'all'} only {self.sent} was sent"

    def _listen(self, host: str, port: int, handler: type["_Handler"]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer((host, port), type(handler.__name__, (handler,), {"hub": self}))
        server.daemon_threads = True
        return server


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        pass

    def answer(self, path: str) -> None:
        raise NotImplementedError

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        with self.hub.lock:
            self.hub.requests.append((self.command, path))
        try:
            self.answer(path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    @property
    def token(self) -> str | None:
        return (self.headers.get("authorization") or "").removeprefix("Bearer ") or None

    def reply(self, status: int, body: Any = None, **headers: str) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.reply(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    def send_file(self, path: str, file: HostedFile, **headers: str) -> None:
        fault = self.hub.fault(path) if self.command == "GET" else Fault(path, times=0)
        if fault.status:
            self.reply(fault.status, {"error": "as told"}, **fault.headers)
            return
        asked = None if fault.ignore_range else _RANGE.fullmatch(self.headers.get("range", ""))
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]) if asked and asked[2] else file.size - 1, file.size - 1)
        if asked and first >= file.size:
            self.reply(416, None, Content_Range=f"bytes */{file.size}")
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{file.size}")
        for name, value in {
            "Content-Length": str(last + 1 - first),
            "ETag": f'"{file.etag}"',
            "Accept-Ranges": "bytes",
            **headers,
        }.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self._send_content(path, file, first, last + 1, fault)

    def _send_content(self, path: str, file: HostedFile, first: int, end: int, fault: Fault) -> None:
        stop = min((first + after for after in (fault.cut_after, fault.stall_after) if after is not None), default=end)
        rate = self.hub.slow.get(path, self.hub.bytes_per_second)
        if isinstance(file.content, Path) and not rate and fault.flip is None:
            with file.content.open("rb") as source:
                self.hub.count(
                    path, self.connection.sendfile(source, first, min(stop, end) - first) if stop > first else 0
                )
        else:
            self._send_pieces(path, file, first, min(stop, end), fault.flip, rate)
        if fault.stall_after is not None:
            self.hub.closed.wait(60)
        if stop < end:
            self.close_connection = True

    def _send_pieces(
        self, path: str, file: HostedFile, first: int, end: int, flip: int | None, rate: int | None
    ) -> None:
        started, at = time.monotonic(), first
        while at < end:
            piece = bytearray(_read(file, at, min(_PIECE, end - at)))
            if flip is not None and at <= flip < at + len(piece):
                piece[flip - at] ^= 1
            self.connection.sendall(piece)
            at += len(piece)
            self.hub.count(path, len(piece))
            if rate:
                time.sleep(max(0.0, started + (at - first) / rate - time.monotonic()))


class _Front(_Handler):
    """The API and the files' addresses."""

    def answer(self, path: str) -> None:
        if found := _RESOLVE.fullmatch(path):
            self._resolve(found["name"], found["revision"], found["path"])
        elif found := _API.fullmatch(path):
            self._api(found["name"], found["what"], found["revision"] or "main")
        else:
            self.refuse(404, "NotFound", "Sorry, we can't find the page you are looking for.")

    def _repository(self, name: str, revision: str, *, content: bool) -> tuple[HostedRepository, str] | None:
        repository = self.hub.repositories.get(name)
        allowed = self.token in self.hub.tokens
        if self.token and not allowed and self.token.startswith("expired"):
            self.reply(
                401,
                {"error": "Invalid credentials in Authorization header"},
                X_Error_Message="Invalid credentials in Authorization header",
            )
        elif repository is None or (repository.private and not allowed):
            self.refuse(404 if self.token else 401, "RepoNotFound", "Repository not found")
        elif repository.gated and content and not allowed:
            self.refuse(403 if self.token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        elif (commit := repository.resolve(revision)) is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repository, commit
        return None

    def _resolve(self, name: str, revision: str, path: str) -> None:
        found = self._repository(name, revision, content=True)
        if not found:
            return
        repository, commit = found
        file = repository.commits[commit].get(path)
        if file is None:
            self.refuse(404, "EntryNotFound", f"{path} does not exist on {revision}")
        elif file.lfs:
            location = f"{self.hub.cdn_url}/cdn/{name}/{commit}/{path}?X-Amz-Signature=secret-signature"
            stated = {"X-Repo-Commit": commit, "X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.etag}"'}
            self.reply(302, None, Location=location, **stated)
        else:
            self.send_file(path, file, **{"X-Repo-Commit": commit})

    def _api(self, name: str, what: str | None, revision: str) -> None:
        fault = self.hub.fault("api")
        if fault.status:
            self.reply(fault.status, {"error": "as told"}, **fault.headers)
            return
        found = self._repository(name, revision, content=False)
        if not found:
            return
        repository, commit = found
        files = repository.commits[commit]
        if what == "tree":
            self.reply(200, [file.entry(path) for path, file in files.items()])
            return
        siblings = [file.sibling(path) for path, file in files.items()]
        gated = "auto" if repository.gated else False
        self.reply(
            200,
            {
                "id": name,
                "modelId": name,
                "sha": commit,
                "private": repository.private,
                "gated": gated,
                "siblings": siblings,
            },
        )


class _Cdn(_Handler):
    """The content of large files."""

    def answer(self, path: str) -> None:
        with self.hub.lock:
            self.hub.tokens_at_cdn += self.token is not None
        _, _, owner, name, commit, file_path = path.split("/", 5)
        self.send_file(file_path, self.hub.repositories[f"{owner}/{name}"].commits[commit][file_path])


def _read(file: HostedFile, at: int, size: int) -> bytes:
    if isinstance(file.content, bytes):
        return file.content[at : at + size]
    with file.content.open("rb") as source:
        source.seek(at)
        return source.read(size)
