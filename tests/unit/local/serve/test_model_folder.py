"""berth list: what somebody has put into the store that no request can name."""

from pathlib import Path

from berth_local.serve.interface import left_out


def test_what_is_no_model_is_told_with_the_reason(tmp_path: Path) -> None:
    for name in ("tiny", "with space", ".partial"):
        (tmp_path / name).mkdir()
    (tmp_path / "moved").symlink_to(tmp_path / "nowhere")
    assert list(left_out(tmp_path, {"tiny"})) == [
        f"{tmp_path}/moved is no model: it is a link to what is not there",
        f"{tmp_path}/with space is no model: its name may have letters from a to z, digits and . _ + = - alone",
    ]


def test_a_store_of_models_alone_leaves_nothing_out(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    assert list(left_out(tmp_path, {"tiny"})) == []


def test_where_there_is_no_store_yet_nothing_is_left_out(tmp_path: Path) -> None:
    assert list(left_out(tmp_path / "none", set())) == []
