"""Berth's API over HTTP, as the commands need it: the management routes, and chat as a stream of events."""

import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, cast

from berth_local.cli.address import check_key, check_url, is_this_machine, model_path
from berth_local.cli.api_errors import error_of
from berth_local.cli.chat_events import ChatEvent, chat_events
from berth_local.cli.errors import CommandError, FailedError, NoServerError, NotNowError
from berth_local.cli.http_client import HttpClient
from berth_local.cli.http_messages import BrokenOffError, HttpAnswer, NotReachedError, NotTrustedError, SilentError
from berth_local.cli.printing import model_name, print_note
from berth_local.cli.room_words import Residents
from berth_process.http_environment import UNUSABLE, client_error

_ANSWER_SECONDS = 120.0
"""Unloading waits up to 30 s for answers under way. All other management requests are quick."""

_PATIENCE_SECONDS = 10.0
"""So long nothing comes before whoever waits is told."""

_SOON_SECONDS = 2.0
"""So long somebody waits for what is merely nice to know."""

_COLD_START_SECONDS = 600.0
"""Longer than a router holds a request for a model that is starting (540 s)."""


class Client:
    """A client of one server.

    Its methods raise CommandError. Its constructor raises UsageError, and SettingsError if a variable of the
    environment is wrong.
    """

    def __init__(self, url: str, api_key: str | None = None) -> None:
        check_url(url)
        check_key(api_key)
        self.url = url.rstrip("/").removesuffix("/v1")
        try:
            # HTTP_PROXY is for other machines, not for a port of this one.
            self._http = HttpClient(self.url, api_key, proxied=not is_this_machine(url))
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
        path = "/v1/models/load"
        self._json("POST", path, who=None, body=body, seconds=_COLD_START_SECONDS, on_connected=on_connected)

    def delete(self, path: str) -> Any:
        """The JSON that the path answers with."""
        return self._json("DELETE", path)

    def lines(self, path: str, **query: str) -> Iterator[str]:
        """Yields the lines of a text as they come, until the server ends it."""
        with self._asked("GET", path, who=self.url, query=query, seconds=None) as answer:
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
        who = model_name(str(body["model"]))
        with self._asked("POST", path, who=who, body=wanted, seconds=_COLD_START_SECONDS) as answer:
            try:
                yield from chat_events(answer.lines())
            except ValueError:
                raise FailedError(self._answered(path)) from None

    def _json(self, method: str, path: str, *, seconds: float = _ANSWER_SECONDS, **request: Any) -> Any:
        who: str | None = request.pop("who", self.url)
        with self._asked(method, path, who=who, seconds=seconds, **request) as answer:
            try:
                told: Any = answer.json()
            except ValueError:
                raise FailedError(
                    f"{self.url} is not Berth's address: {path} answered with something that is not JSON"
                ) from None
        # Some servers refuse with status 200, and the error as a text.
        if not isinstance(told, dict) or isinstance(cast("dict[str, Any]", told).get("error"), str):
            raise FailedError(self._answered(path))
        return _told(told, self._answered(path))

    def _answered(self, path: str) -> str:
        return f"{self.url} is not Berth's address: {path} answered as Berth does not"

    @contextmanager
    def _asked(self, method: str, path: str, *, who: str | None, **request: Any) -> Generator[HttpAnswer]:
        """The answer, which is no refusal. `who`: whom the user is told to wait for; None: that is not told."""
        with self._answering(), ExitStack() as asking:
            with _patience(who):
                answer = asking.enter_context(self._http.request(method, path, **request))
            _check(answer, path)
            yield answer

    @contextmanager
    def _answering(self) -> Generator[None]:
        try:
            yield
        except NotTrustedError as error:
            told = f"{self.url} has a certificate that this machine does not trust ({error})"
            cure = "SSL_CERT_FILE must name the file of its certificate"
            raise NoServerError(f"{told}: if its authority is one of your own, {cure}") from None
        except NotReachedError as error:
            if error.proxy:
                cure = f" through the proxy of {error.proxy}: does that run? NO_PROXY names hosts that need none"
            else:
                cure = ": `berth up` starts one, --url names another"
            raise NoServerError(f"no server answers at {self.url} ({error}){cure}") from None
        except SilentError:
            raise NotNowError(f"{self.url} did not answer in time") from None
        except BrokenOffError as error:
            raise FailedError(f"{self.url} broke off ({error})") from None


@contextmanager
def _patience(who: str | None) -> Generator[None]:
    """Says whom the command waits for, if that takes long."""
    told = f"{who} has not answered yet; Ctrl-C ends the wait"
    timer = threading.Timer(_PATIENCE_SECONDS, print_note, (told,)) if who else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer:
            timer.cancel()


def _told(value: Any, answered: str) -> Any:
    """The JSON, with every object in it as a _Told."""
    if isinstance(value, list):
        return [_told(each, answered) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return _Told({name: _told(each, answered) for name, each in fields.items()}, answered)
    return value


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


def _check(answer: HttpAnswer, path: str) -> None:
    """Raises the answer's error, if the answer is one."""
    if 200 <= answer.status < 300:
        return
    try:
        content = answer.json()
    except ValueError:
        content = None
    raise error_of(answer.status, content, path)
