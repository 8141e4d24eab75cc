"""The images that somebody names in a question by their paths."""

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth_local.cli.address import model_path
from berth_local.cli.errors import FailedError
from berth_local.cli.printing import model_name, print_note

if TYPE_CHECKING:
    from berth_local.cli.client import Client

_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif"}
_PATH = re.compile(
    r"""'(?P<single>[^'\n]+?\.(?:png|jpe?g|webp|gif))'
    |"(?P<double>[^"\n]+?\.(?:png|jpe?g|webp|gif))"
    |(?P<bare>(?:\\.|[^\s'"\\])+?\.(?:png|jpe?g|webp|gif))(?=$|[\s,;:!?.)])""",
    re.IGNORECASE | re.VERBOSE,
)
_MOST_BYTES = 50_000_000


def seen_images(client: "Client", model: str, text: str) -> tuple[str, ...]:
    """The images that the text names, if the model sees. Raises CommandError."""
    paths = paths_in(text)
    if not paths:
        return ()
    told: dict[str, Any] = client.get(model_path(model_name(model)))
    if not told.get("vision"):
        print_note(f"{model_name(model)} sees no images: it gets the path of {paths[0].name} as text")
        return ()
    return tuple(data_url(path) for path in paths)


def paths_in(text: str) -> list[Path]:
    """The files of images that the text names, each once. What is no file is not meant as one."""
    found = (
        match["single"] or match["double"] or re.sub(r"\\(.)", r"\1", match["bare"]) for match in _PATH.finditer(text)
    )
    return [path for path in dict.fromkeys(_expanded(name) for name in found) if path.is_file()]


def data_url(path: Path) -> str:
    """The image as a URL that has it all. Raises FailedError."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FailedError(f"{path} has more than {_MOST_BYTES // 1_000_000} MB, which is too large for an image")
        content = path.read_bytes()
    except OSError as error:
        raise FailedError(f"{path} cannot be read: {error.strerror}") from None
    return f"data:{_KINDS[path.suffix.lower()]};base64,{base64.b64encode(content).decode()}"


def _expanded(name: str) -> Path:
    try:
        return Path(name.removeprefix("file://")).expanduser()
    except RuntimeError:  # there is no such user
        return Path(name)
