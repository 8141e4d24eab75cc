"""Which web pages may ask, by what a browser says of them: pure.

A browser lets a page read an answer of another site only if the answer allows it: that is CORS, as the Fetch standard
of WHATWG has it, sections 3.2 and 4.8. But a browser sends many requests without asking first, and a page whose own
name resolves to this machine counts as this site ("DNS rebinding"). Without API keys nothing else would stop either.
So a router without keys refuses the pages that it does not know, and hosts that are not its own.
"""

import ipaddress
import re
from collections.abc import Sequence

from berth_router.errors import ForeignPageError
from berth_router.serving.heads import RequestHead

OF_THIS_MACHINE = (
    "http://localhost:*",
    "https://localhost:*",
    "http://*.localhost:*",
    "https://*.localhost:*",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://[::1]:*",
    "https://[::1]:*",
)
"""Origins of pages that the user's own machine serves."""

OF_PROGRAMS = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
"""Origins of programs with a browser inside, as Ollama allows them too. No web page can have one of these."""

_PREFLIGHT_SECONDS = 600
"""How long a browser may keep the answer to a preflight."""

_METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9_, -]{1,2000}")


class OriginPolicy:
    """What the router answers to browsers.

    `origins`: patterns of the origins that may ask: `https://chat.example.com`, with `*.` for any subdomain, `:*` for
    any port, and `*` alone for every origin. `hosts`: the names under which the router is reached, for a router
    without keys; empty: any name. Addresses are always allowed, since only a name can be made to resolve to them.
    """

    def __init__(self, origins: Sequence[str], hosts: Sequence[str] = ()) -> None:
        self._every_origin = "*" in origins
        self._origins = re.compile("|".join(map(_origin_pattern, origins)) or r"(?!)", re.ASCII)
        self._hosts = re.compile("|".join(map(_host_pattern, hosts)), re.ASCII) if hosts else None

    def allows(self, origin: bytes) -> bool:
        """Whether pages of this origin may ask, and read the answers."""
        return self._every_origin or self._origins.fullmatch(_text(origin)) is not None

    def answer_lines(self, head: RequestHead, *, has_keys: bool) -> bytes:
        """The header lines that the answer needs for the browser.

        Raises ForeignPageError, where the router has no keys that would keep a page out.
        """
        origin, host = head.fields.get(b"origin"), head.fields.get(b"host", b"")
        if not has_keys and (host or not head.http10):  # HTTP/1.0 needs no Host, and no browser leaves it out
            self._check_host(host)
        if origin is None:
            return b""
        if self.allows(origin):
            return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: *\r\nvary: origin\r\n" % origin
        if not has_keys and _text(origin).partition("://")[2] != _text(host):
            raise ForeignPageError(
                f"A page of {_text(origin)[:200]} asks, and this server does not know that origin."
                " It may ask once the setting BERTH_CORS_ORIGINS has it.",
                code="origin_not_allowed",
            )
        return b""

    def preflight_lines(self, head: RequestHead) -> bytes | None:
        """The header lines of the answer to a preflight; None where the request is none, or its origin may not ask."""
        fields = head.fields
        origin = fields.get(b"origin")
        if head.method != "OPTIONS" or origin is None or b"access-control-request-method" not in fields:
            return None
        if not self.allows(origin):
            return None
        asked = fields.get(b"access-control-request-headers", b"")
        lines = [
            b"access-control-allow-origin: %b\r\n" % origin,
            b"access-control-allow-methods: %b\r\n" % _METHODS,
            b"access-control-allow-headers: %b\r\n" % asked if _HEADER_NAMES.fullmatch(asked) else b"",
            b"access-control-max-age: %d\r\n" % _PREFLIGHT_SECONDS,
            b"vary: origin, access-control-request-method, access-control-request-headers\r\n",
        ]
        if fields.get(b"access-control-request-private-network") == b"true":
            lines.append(b"access-control-allow-private-network: true\r\n")
        return b"".join(lines)

    def _check_host(self, host: bytes) -> None:
        name = _host_name(_text(host))
        if self._hosts is None or _is_address(name) or self._hosts.fullmatch(name):
            return
        raise ForeignPageError(
            f"The request is for the host {name[:200]!r}, and this server is not reached by that name."
            " It is once the setting BERTH_ALLOWED_HOSTS has it.",
            code="host_not_allowed",
        )


def is_origin_pattern(text: str) -> bool:
    """Whether it can be an element of `origins`."""
    return (
        text == "*"
        or re.fullmatch(r"[a-z][a-z0-9+.-]*://(\*|(\*\.)?[a-z0-9.\[\]:-]*[a-z0-9\]](:\*)?)", text) is not None
    )


def is_host_pattern(text: str) -> bool:
    """Whether it can be an element of `hosts`."""
    return re.fullmatch(r"(\*\.)?[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?", text) is not None


def _origin_pattern(origin: str) -> str:
    scheme, _, rest = origin.partition("://")
    if rest == "*":
        return rf"{re.escape(scheme)}://[^\s,]*"
    port = r"(:\d{1,5})?" if rest.endswith(":*") else ""
    return f"{re.escape(scheme)}://{_host_pattern(rest.removesuffix(':*'))}{port}"


def _host_pattern(host: str) -> str:
    subdomain = r"[a-z0-9_.-]+\." if host.startswith("*.") else ""
    return subdomain + re.escape(host.removeprefix("*."))


def _host_name(host: str) -> str:
    """A Host header without its port; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace")
