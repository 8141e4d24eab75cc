"""What somebody types in a terminal: with editing, history, and pasted texts whole."""

import contextlib
import os
import sys
import termios
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, run_in_terminal
from prompt_toolkit.application.current import set_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle

from berth_local.cli.chat.lines import COMMANDS, is_open
from berth_local.cli.chat.settings import NAMES
from berth_local.cli.printing import print_error

_PASTES_WHOLE, _PASTES_AS_TYPED = "\x1b[?2004h", "\x1b[?2004l"
_LFLAG = 3


class Keyboard:
    """Reads what is typed. What is typed while an answer runs waits for the next question."""

    def __init__(self, history: Path | None) -> None:
        """`history`: the file of what was typed before. None: there is none, and this session is forgotten."""
        kept: History = _UsersHistory(str(history)) if history else InMemoryHistory()
        self._session: PromptSession[str] = PromptSession(
            ">>> ",
            multiline=Condition(lambda: is_open(get_app().current_buffer.text)),
            prompt_continuation="... ",
            history=kept,
            key_bindings=_bindings(),
            completer=_Commands(),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
            output=_output(),
        )
        self._remark: str | None = None
        """What is to be said before anything more is typed."""

    def tell(self, remark: str) -> None:
        """Says an error above the prompt, now or as soon as there is one. For threads."""
        self._remark = remark
        app = self._session.app
        if app.is_running and app.loop:
            app.loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        remark, self._remark = self._remark, None
        if remark is not None:
            with set_app(self._session.app):
                run_in_terminal(lambda: print_error(remark))

    def question(self) -> str | None:
        """What is typed, without the spaces around it. None: Ctrl-D. Empty: nothing, or Ctrl-C."""
        try:
            return self._session.prompt(pre_run=self._tell).strip()
        except EOFError:
            return None
        except KeyboardInterrupt:
            return ""

    @contextmanager
    def quiet(self) -> Generator[None]:
        """While it is open, keys do not show, and are kept for the next question; Ctrl-C interrupts."""
        keys = sys.stdin.fileno()
        try:
            before = termios.tcgetattr(keys)
        except termios.error:
            yield
            return
        during: list[Any] = termios.tcgetattr(keys)
        during[_LFLAG] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(keys, termios.TCSANOW, during)
        self._says(_PASTES_WHOLE)
        try:
            yield
        finally:
            self._says(_PASTES_AS_TYPED)
            termios.tcsetattr(keys, termios.TCSANOW, before)

    def _says(self, code: str) -> None:
        if os.environ.get("TERM") != "dumb":
            self._session.output.write_raw(code)
            self._session.output.flush()


class _UsersHistory(FileHistory):
    """A file that cannot be written any more ends no conversation."""

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


class _Commands(Completer):
    """Completes commands, and what `/set` sets."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        typed = document.text_before_cursor
        if typed.startswith("/set "):
            begun = typed.removeprefix("/set ")
            return [Completion(name, -len(begun)) for name in NAMES if name.startswith(begun)]
        if typed.startswith("/"):
            return [Completion(f"/{name}", -len(typed)) for name in COMMANDS if name.startswith(typed[1:])]
        return []


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


def _output() -> Output:
    """The terminal. It is not asked where its cursor is: the answer of a slow one would be taken for keys."""
    output = create_output(sys.stdout if sys.stdout.isatty() else sys.stderr)
    if isinstance(output, Vt100_Output):
        output.enable_cpr = False
    return output
