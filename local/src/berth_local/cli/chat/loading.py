"""The start of a model while somebody types: it goes on in a thread, until it is done or nobody waits for it."""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from berth_local.cli.errors import CommandError

if TYPE_CHECKING:
    from berth_local.cli.client import Client


class Loading:
    """One such start. `on_failure` is called, in the thread, with the reason why the model cannot start."""

    def __init__(self, client: "Client", body: Mapping[str, Any], on_failure: Callable[[str], None]) -> None:
        self._client = client
        self._body = dict(body)
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._left = False
        threading.Thread(target=self._wait, name="load a model", daemon=True).start()

    def leave(self) -> None:
        """Waits no longer: the server sees that nobody does. It is safe to call when the model is loaded."""
        with self._lock:
            self._left = True
            if self._socket:
                with suppress(OSError):  # it has ended
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _wait(self) -> None:
        try:
            self._client.load(self._body, self._connected)
        except CommandError as error:
            # Without a code the server did not answer, which the first question will notice too.
            if error.code and not self._left:
                self._on_failure(error.message)

    def _connected(self, connection: socket.socket) -> None:
        with self._lock:
            self._socket = connection
        if self._left:
            self.leave()
