"""Which files of images a question names."""

from pathlib import Path

import pytest

from berth_local.cli.chat.images import data_url, paths_in
from berth_local.cli.errors import FailedError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("What is in {0}/cat.png?", ["cat.png"]),
        ("{0}/cat.png", ["cat.png"]),
        ("Compare {0}/cat.png and {0}/Dog.JPG, please", ["cat.png", "Dog.JPG"]),
        ("Look at '{0}/my cat.png'.", ["my cat.png"]),
        ('Look at "{0}/my cat.png".', ["my cat.png"]),
        ("Look at {0}/my\\ cat.png.", ["my cat.png"]),
        ("{0}/cat.png {0}/cat.png", ["cat.png"]),
        ("file://{0}/cat.png", ["cat.png"]),
        ("What is a .png file, and is {0}/absent.png one?", []),
        ("{0}/cat.pngs", []),
    ],
)
def test_a_path_of_an_image_is_found(tmp_path: Path, text: str, names: list[str]) -> None:
    for name in ("cat.png", "Dog.JPG", "my cat.png"):
        (tmp_path / name).write_bytes(b"image")
    assert [path.name for path in paths_in(text.format(tmp_path))] == names


def test_an_image_travels_whole(tmp_path: Path) -> None:
    (tmp_path / "Dog.JPG").write_bytes(b"\xff\xd8")
    assert data_url(tmp_path / "Dog.JPG") == "data:image/jpeg;base64,/9g="
    with pytest.raises(FailedError, match="cannot be read: No such file"):
        data_url(tmp_path / "absent.png")
