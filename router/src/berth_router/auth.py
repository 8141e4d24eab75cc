"""API keys with scopes: who may call what. The keys come from a folder in which a Secret is mounted.

The router compares digests, keyed with a secret of this process. It compares the digest of a request's key with those
of all valid keys, each in constant time, so that the time of a refusal says nothing about any key. Keys are in memory:
no request waits for a file.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Container, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import structlog

from berth_router.errors import OLLAMA_PATHS, AuthenticationError, PermissionDeniedError

_log = structlog.get_logger(__name__)

REREAD_SECONDS = 5.0
"""How often the router reads the folder again. The kubelet takes up to a minute to bring a changed Secret into it."""

_BEARER = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)


class KeyScope(StrEnum):
    """What a key allows."""

    INFERENCE = "inference"
    MANAGE = "manage"


Scopes = frozenset[KeyScope]

HeaderPairs = Iterable[tuple[bytes, bytes]]
"""Names in lower case, and values."""

ANY_SCOPE: Scopes = frozenset(KeyScope)

_PAGES = frozenset({"/", "/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json"})

OPEN_PATHS = frozenset({"/health", "/healthz", "/readyz", "/metrics"}) | _PAGES
"""Paths that need no key: probes and monitoring, which have none, and pages, which are the same everywhere."""

_OLLAMA_MANAGEMENT = frozenset({"/api/pull", "/api/delete", "/api/copy", "/api/create", "/api/push"})
"""The paths of Ollama's API that change the store, or would; what the others show, its clients need to ask at all."""


_MANAGEMENT = frozenset(
    {"download", "inventory", "load", "loaded", "manifest", "plan", "stats", "unload", "unload-all", "verify-repo"}
)
"""What can follow `/v1/models/` and is no model's name."""


def scopes_that_allow(method: str, path: str, inference_paths: Container[str]) -> Scopes | None:
    """The scopes of which a key needs one for the path; None where no key is needed. An unknown path needs any key."""
    if path in OPEN_PATHS:
        return None
    if path in inference_paths:
        return frozenset({KeyScope.INFERENCE})
    if path.startswith(OLLAMA_PATHS):
        return frozenset({KeyScope.MANAGE if path in _OLLAMA_MANAGEMENT else KeyScope.INFERENCE})
    if path == "/models/unload":  # llama.cpp's
        return frozenset({KeyScope.MANAGE})
    if path.startswith("/v1/models/"):
        shows_a_model = method in ("GET", "HEAD") and path.split("/")[3] not in _MANAGEMENT
        return ANY_SCOPE if shows_a_model else frozenset({KeyScope.MANAGE})
    return ANY_SCOPE


class ApiKeys:
    """The keys that are valid now.

    `folder` has one file for each key: the file's name is the key's name, its content the key. `scopes` has what each
    key allows, by name. A file whose name is not in `scopes` is no key.
    """

    def __init__(self, folder: Path, scopes: Mapping[str, Sequence[KeyScope]]) -> None:
        self._folder = folder
        self._scopes = scopes
        self._secret = secrets.token_bytes(32)
        self._keys: list[tuple[bytes, str, Scopes]] = []
        self._digests: dict[str, bytes] = {}
        """Of all valid keys, by name."""
        self._names: list[str] | None = None
        self.times_read = 0
        """How often the folder was read. Whoever keeps a result of `check` must drop it when this changes."""

    def read(self) -> None:
        """Reads the keys that the folder has now.

        Raises OSError where the folder cannot be read; the known keys then stay valid. Where a single file cannot be
        read, that key stays valid as it was known, and the others are read.
        """
        self._folder.stat()
        digests = {name: digest for name in sorted(self._scopes) if (digest := self._digest_of(name))}
        found: dict[bytes, tuple[str, Scopes]] = {}
        for name, digest in digests.items():
            known, scopes = found.get(digest, (name, Scopes()))
            found[digest] = (known, scopes | frozenset(self._scopes[name]))
        self.times_read += 1
        self._keys = [(digest, name, scopes) for digest, (name, scopes) in found.items()]
        self._digests, names = digests, list(digests)
        if names != self._names:
            missing = sorted(self._scopes.keys() - set(names))
            if missing:
                _log.warning("api_keys_missing", names=missing)
            _log.info("api_keys_read", names=names)
            self._names = names

    async def keep_reading(self) -> None:
        """Reads the folder every few seconds. Never returns."""
        while True:
            await asyncio.sleep(REREAD_SECONDS)
            try:
                await asyncio.to_thread(self.read)
            except OSError as error:
                _log.warning("api_keys_not_read", error=str(error))
            except Exception:  # noqa: BLE001 (the keys that are known stay valid, and the router goes on with them)
                _log.exception("api_keys_not_read")

    def _digest_of(self, name: str) -> bytes | None:
        """The digest of the key in this file; None where the file is empty or missing."""
        try:
            key = (self._folder / name).read_bytes().strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("api_key_not_read", name=name, error=error.strerror)
            return self._digests.get(name)
        return self._digest(key) if key else None

    def check(self, headers: HeaderPairs, allowing: Scopes) -> str:
        """The name of the key in the headers, which must have one of the scopes `allowing`.

        Raises AuthenticationError where there is no valid key, PermissionDeniedError where the key lacks the scopes.
        """
        key = _presented(headers)
        if key is None:
            raise AuthenticationError(
                "No API key was given. Send it as `Authorization: Bearer KEY` (or as `x-api-key: KEY`).",
                code="missing_api_key",
            )
        name, granted = self._known(key)
        if not granted:
            raise AuthenticationError("The API key is not valid.", code="invalid_api_key")
        if granted.isdisjoint(allowing):
            needed = " or ".join(sorted(allowing))
            raise PermissionDeniedError(
                f"The API key is valid, but lacks the scope `{needed}` that this path needs.", code="missing_scope"
            )
        return name

    def _known(self, key: bytes) -> tuple[str, Scopes]:
        """The name and the scopes of this key; no scopes where the key is not valid."""
        presented = self._digest(key)
        found: tuple[str, Scopes] = ("", frozenset())
        for digest, name, scopes in self._keys:
            if hmac.compare_digest(digest, presented):
                found = (name, scopes)
        return found

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=32, key=self._secret).digest()


def _presented(headers: HeaderPairs) -> bytes | None:
    """The key in a request's headers: OpenAI's clients send a bearer token, Anthropic's clients x-api-key."""
    other = None
    for name, value in headers:
        if name == b"authorization" and (bearer := _BEARER.fullmatch(value)):
            return bearer[1]
        if name == b"x-api-key" and value:
            other = value
    return other
