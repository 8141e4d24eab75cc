"""Conversations that are kept in files."""

import os
import stat
from pathlib import Path

import pytest

from berth_local.cli.chat.conversation import Conversation, Question, Turn
from berth_local.cli.chat.kept import Kept, Shelf, history_file
from berth_local.cli.errors import CommandError, FailedError, UnknownNameError, UsageError

TALK = Kept("tiny", {"temperature": 0.5}, Conversation("S", [Turn(Question("Hi", ("data:image/png;base64,",)), "Höi")]))


def test_a_kept_conversation_comes_back_as_it_was(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert shelf.save("a talk", TALK) is False
    assert shelf.save("a talk", TALK) is True
    assert shelf.names() == ["a talk"]
    assert shelf.load("a talk") == TALK


def test_only_its_user_reads_what_was_typed_and_said(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Shelf(tmp_path / "home").save("a", TALK)
        assert history_file(tmp_path / "home") == tmp_path / "home" / "history"
    finally:
        os.umask(before)
    for file in (tmp_path / "home" / "history", tmp_path / "home" / "conversations" / "a.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_where_nothing_can_be_written_there_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert history_file(tmp_path / "file") is None


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("absent", UnknownNameError),
        ("../up", UsageError),
        ("", UsageError),
        (".hidden", UsageError),
        ("bad", FailedError),
    ],
)
def test_what_cannot_be_loaded_is_told(tmp_path: Path, name: str, error: type[CommandError]) -> None:
    (tmp_path / "conversations").mkdir()
    (tmp_path / "conversations" / "bad.json").write_text("[]")
    with pytest.raises(error):
        Shelf(tmp_path).load(name)
