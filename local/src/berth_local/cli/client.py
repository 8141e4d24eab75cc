"""Berth's API over HTTP, as the commands need it: the management routes, and chat as a stream of events."""

import json
import os
import re
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from berth_local.cli.address import check_key, check_url, model_path
from berth_local.cli.api_errors import error_of, stream_error_of
from berth_local.cli.errors import CommandError, FailedError, NoServerError, NotNowError
from berth_local.cli.http_client import HttpClient
from berth_local.cli.http_messages import BrokenOffError, HttpAnswer, NotReachedError, SilentError
from berth_local.cli.printing import model_name
from berth_local.cli.room_words import Residents
from berth_process.http_environment import UNUSABLE, client_error

_ANSWER_SECONDS = 120.0
"""Unloading waits up to 30 s for answers under way. All other management requests are quick."""

_SOON_SECONDS = 2.0
"""So long somebody waits for what is merely nice to know."""

_COLD_START_SECONDS = 600.0
"""Longer than a router holds a request for a model that is starting (540 s)."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The model is not ready yet. `reason`: why, in the router's words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete. `usage`: as in OpenAI's API; None where the engine does not send it."""

    reason: str | None
    usage: dict[str, Any] | None


ChatEvent = Waiting | Text | Thought | Finished


class Client:
    """A client of one server.

    Its methods raise CommandError. Its constructor raises UsageError, and SettingsError if a variable of the
    environment is wrong.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        check_url(url)
        check_key(api_key)
        self.url = url.rstrip("/").removesuffix("/v1")
        # HTTP_PROXY is for other machines, not for a port of this one.
        self._proxied = not re.match(r"https?://(127\.|localhost\b|\[::1\])", self.url)
        try:
            self._http = HttpClient(self.url, api_key, proxied=self._proxied)
        except UNUSABLE as error:
            raise client_error(error, os.environ) from None

    def get(self, path: str, **query: str) -> Any:
        """The JSON that the path answers with."""
        return self._json("GET", path, query=query)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON that the path answers with."""
        return self._json("POST", path, body=body)

    def load(self, body: dict[str, Any], on_connected: Callable[[socket.socket], None]) -> None:
        """Has the server load a model, and returns when it is ready.

        `on_connected` gets the socket of its connection: whoever shuts that down ends the wait.
        """
        self._json("POST", "/v1/models/load", body=body, seconds=_COLD_START_SECONDS, on_connected=on_connected)

    def delete(self, path: str) -> Any:
        """The JSON that the path answers with."""
        return self._json("DELETE", path)

    def lines(self, path: str, **query: str) -> Iterator[str]:
        """Yields the lines of a text as they come, until the server ends it."""
        with self._answering(), self._http.request("GET", path, query=query, seconds=None) as answer:
            _check(answer, path)
            yield from answer.lines()

    def model_bytes(self, name: str) -> int | None:
        """The bytes of the model's weights. None: they are not known."""
        return self.model_fact(name, "size")

    def model_fact(self, name: str, fact: str) -> int | None:
        """A number of the model's `meta`, such as `n_ctx`. None: it is not known, or not soon."""
        try:
            return int(self._json("GET", model_path(name), seconds=_SOON_SECONDS)["meta"][fact])
        except (CommandError, KeyError, TypeError, ValueError):
            return None

    def residents(self) -> Residents:
        """What is known of the models that have the memory, or are to have it. Empty: it is not known, or not soon."""
        try:
            loaded: Any = self._json("GET", "/v1/models/loaded", seconds=_SOON_SECONDS)
            names = {one["deployment"]: model_name(one["model_path"]) for one in loaded["loaded_models"]}
        except (CommandError, KeyError, TypeError):
            return Residents()
        try:
            machine: Any = self._json("GET", "/v1/models/stats/machine", seconds=_SOON_SECONDS)
            budgets: dict[str, int] = {each["device"]: each["budget_bytes"] for each in machine["memory"]}
        except (CommandError, KeyError, TypeError):
            return Residents(names)
        return Residents(names, budgets.get("cpu"))

    def chat(self, body: dict[str, Any]) -> Iterator[ChatEvent]:
        """Yields the events of an answer as the engine makes it. The engine stops when the iterator is closed."""
        wanted = {**body, "stream": True, "stream_options": {"include_usage": True}}
        path = "/v1/chat/completions"
        with self._answering(), self._http.request("POST", path, body=wanted, seconds=_COLD_START_SECONDS) as answer:
            _check(answer, path)
            yield from _chat_events(answer.lines())

    def _json(self, method: str, path: str, *, seconds: float = _ANSWER_SECONDS, **request: Any) -> Any:
        with self._answering(), self._http.request(method, path, seconds=seconds, **request) as answer:
            _check(answer, path)
            try:
                told: Any = answer.json()
            except ValueError:
                raise FailedError(
                    f"{self.url} is not Berth's address: {path} answered with something that is not JSON"
                ) from None
        answered = f"{self.url} is not Berth's address: {path} answered as Berth does not"
        # Some servers refuse with status 200, and the error as a text.
        if not isinstance(told, dict) or isinstance(cast("dict[str, Any]", told).get("error"), str):
            raise FailedError(answered)
        return _Told(cast("dict[str, Any]", told), answered)

    @contextmanager
    def _answering(self) -> Generator[None]:
        try:
            yield
        except NotReachedError as error:
            proxy = _proxy_of(self.url) if self._proxied else None
            if proxy:
                cure = f" through the proxy of {proxy}: does that run? NO_PROXY names hosts that need none"
            else:
                cure = ": `berth up` starts one, --url names another"
            raise NoServerError(f"no server answers at {self.url} ({_cause(error)}){cure}") from None
        except SilentError:
            raise NotNowError(f"{self.url} did not answer in time") from None
        except BrokenOffError as error:
            raise FailedError(f"{self.url} broke off ({_cause(error)})") from None


def _proxy_of(url: str) -> str | None:
    """The variable that names the proxy through which the URL is asked. None: it is asked without one."""
    from urllib.parse import urlsplit  # noqa: PLC0415 (late, as all that a server of this machine needs not)
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415

    parts, proxies = urlsplit(url), getproxies()
    if not (proxies.get(parts.scheme) or proxies.get("all")) or proxy_bypass(parts.hostname or ""):
        return None
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), None)


class _Told(dict[str, Any]):
    """An answer. Who looks for something in it that Berth's have, and it has not, gets a FailedError: `answered`."""

    def __init__(self, content: dict[str, Any], answered: str) -> None:
        super().__init__(content)
        self._answered = answered

    def __missing__(self, key: str) -> Any:
        raise FailedError(self._answered)


def is_berth(url: str) -> bool:
    """Whether a Berth answers at the address. It is quick also where nothing answers."""
    try:
        asked = HttpClient(url, proxied=False).request("GET", "/healthz", seconds=5.0, connect_seconds=1.0)
        with asked as answer:
            told = answer.json()
    except (NotReachedError, SilentError, BrokenOffError, *UNUSABLE):
        return False
    return isinstance(told, dict) and "status" in told


def _cause(error: Exception) -> str:
    """The reason of the error without its number, such as 'connection refused'."""
    text = str(error) or type(error).__name__
    return re.sub(r"^\[Errno -?\d+\] ", "", text).rstrip(".").lower()


def _chat_events(lines: Iterator[str]) -> Iterator[ChatEvent]:
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    for line in lines:
        if line.startswith(": "):
            yield Waiting(line.removeprefix(": "))
        if not line.startswith("data: "):
            continue
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            yield Finished(finish_reason, usage)
            return
        event: dict[str, Any] = json.loads(data)
        if "error" in event:
            raise stream_error_of(event)
        usage = event.get("usage") or usage
        for choice in event.get("choices") or ():
            finish_reason = choice.get("finish_reason") or finish_reason
            delta: dict[str, Any] = choice.get("delta") or {}
            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                yield Thought(thought)
            if delta.get("content"):
                yield Text(delta["content"])
    raise FailedError("the answer broke off before its end")


def _check(answer: HttpAnswer, path: str) -> None:
    """Raises the answer's error, if the answer is one."""
    if 200 <= answer.status < 300:
        return
    try:
        content = answer.json()
    except ValueError:
        content = None
    raise error_of(answer.status, content, path)
