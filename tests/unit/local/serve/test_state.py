"""The folder of one running Berth."""

import json
import os
from pathlib import Path

import pytest

from berth_local.serve.home import running_server
from berth_local.serve.state import StartError, locked_state


def test_it_says_who_runs_until_that_one_has_ended(tmp_path: Path) -> None:
    with locked_state(tmp_path / "home") as state:
        state.announce("http://127.0.0.1:1")
        assert json.loads((tmp_path / "home/berth.json").read_text()) == {
            "pid": os.getpid(),
            "url": "http://127.0.0.1:1",
        }
    assert running_server(tmp_path / "home") is None


def test_a_second_one_hears_where_the_first_is(tmp_path: Path) -> None:
    with locked_state(tmp_path) as state:
        state.announce("http://127.0.0.1:1")
        with (
            pytest.raises(StartError, match=rf"running already with {tmp_path}, at http://127\.0\.0\.1:1"),
            locked_state(tmp_path),
        ):
            pass
        assert running_server(tmp_path)
    with locked_state(tmp_path):
        pass


def test_what_a_killed_one_left_is_cleaned_away(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/old.termination").write_text("old")
    (tmp_path / "berth.json").write_text('{"url": "http://127.0.0.1:1"}')
    (tmp_path / "models").mkdir()
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
