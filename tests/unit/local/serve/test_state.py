"""The folder of one running Berth."""

import os
import shutil
from pathlib import Path

import pytest

from berth_local.serve.home import RunningServer, UseLock, lock_holder, running_server, users_of
from berth_local.serve.state import InUseError, StartError, locked_state
from berth_process.settings_error import SettingsError


def test_it_says_who_runs_until_that_one_has_ended(tmp_path: Path) -> None:
    with locked_state(tmp_path / "home") as state:
        state.announce("http://127.0.0.1:1", tmp_path / "models")
        server = RunningServer("http://127.0.0.1:1", os.getpid(), tmp_path / "models", lasts=True)
        assert running_server(tmp_path / "home") == server
        state.withdraw()
        assert running_server(tmp_path / "home") is None
        assert lock_holder(tmp_path / "home") == (os.getpid(), True)
    assert lock_holder(tmp_path / "home") is None
    assert running_server(tmp_path / "home") is None


def test_a_second_one_hears_where_the_first_is(tmp_path: Path) -> None:
    with locked_state(tmp_path) as state:
        state.announce("http://127.0.0.1:1", tmp_path / "models")
        with (
            pytest.raises(InUseError, match=rf"runs already with {tmp_path}, at http://127\.0\.0\.1:1 \(pid "),
            locked_state(tmp_path),
        ):
            pass
        assert running_server(tmp_path)
    with locked_state(tmp_path):
        pass


def test_what_a_killed_one_left_is_cleaned_away(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/old.termination").write_text("old")
    left = RunningServer("http://127.0.0.1:1", 1, tmp_path, lasts=True)
    (tmp_path / "berth.json").write_text(left.written())
    (tmp_path / "models").mkdir()
    assert running_server(tmp_path) is None
    with locked_state(tmp_path) as state:
        assert running_server(tmp_path) is None
        assert list(state.scratch.iterdir()) == []
        assert (tmp_path / "models").is_dir()


def test_others_cannot_look_into_its_scratch_files(tmp_path: Path) -> None:
    with locked_state(tmp_path) as state:
        assert state.scratch.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StartError, match=r"file/home cannot be used: Not a directory; BERTH_HOME"),
        locked_state(tmp_path / "file/home"),
    ):
        pass


def test_another_users_server_is_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked_state(tmp_path) as state:
        state.announce("http://127.0.0.1:1", tmp_path / "models")
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
        with pytest.raises(SettingsError, match=r"'s: BERTH_HOME names a folder of your own"):
            running_server(tmp_path)


def test_a_server_of_a_command_stays_for_its_users_and_then_takes_no_more(tmp_path: Path) -> None:
    with UseLock(tmp_path) as first, UseLock(tmp_path) as second, users_of(tmp_path) as users:
        assert first.taken()
        assert second.taken()
        assert not users.are_gone()
        first.release()
        assert not users.are_gone()
        second.release()
        assert users.are_gone()
        assert not first.taken(), "it ends"
    with UseLock(tmp_path) as later:
        assert later.taken()


def test_who_has_lost_the_folder_leaves_the_files_of_the_next_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with locked_state(home) as lost:
        lost.announce("http://127.0.0.1:1", tmp_path / "models")
        assert not lost.is_gone()
        shutil.rmtree(home)
        assert lost.is_gone()
        with locked_state(home) as state:
            state.announce("http://127.0.0.1:2", tmp_path / "models")
            lost.withdraw()
            server = running_server(home)
            assert server
            assert server.url == "http://127.0.0.1:2"
