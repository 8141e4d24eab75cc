"""The chat template of a model: the text that makes one prompt of a conversation."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from berth_formats.errors import FormatError
from berth_formats.gguf import CHAT_TEMPLATE, read_long_text
from berth_formats.names import gguf_sets
from berth_formats.stream import content_of

_TEMPLATE_FILE = "chat_template.jinja"
_JSON_FILES = ("chat_template.json", "tokenizer_config.json")

_MAX_TEMPLATE_BYTES = 1024 * 1024
_MAX_JSON_BYTES = 16 * 1024 * 1024


def chat_template(directory: Path, files: Sequence[tuple[str, int]]) -> str | None:
    """The model's template; None where it has none. Of several, such as one for tools, the default one.

    `files`: paths below the directory, sizes in bytes. Raises FormatError where the files cannot be read.
    """
    weights = gguf_sets(files)
    if weights:
        return read_long_text(directory / weights[0].files[0], CHAT_TEMPLATE)
    names = {name for name, _ in files}
    if _TEMPLATE_FILE in names:
        return content_of(directory / _TEMPLATE_FILE, _MAX_TEMPLATE_BYTES).decode(errors="replace")
    found = (_in_json(directory / name) for name in _JSON_FILES if name in names)
    return next((template for template in found if template), None)


def _in_json(path: Path) -> str | None:
    try:
        content: Any = json.loads(content_of(path, _MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is not JSON: {str(error)[:200]}") from error
    match content:
        case {"chat_template": str(template)}:
            return template
        case {"chat_template": [*named]}:
            return _default_of(named)
        case _:
            return None


def _default_of(named: Sequence[Any]) -> str | None:
    for entry in named:
        match entry:
            case {"name": "default", "template": str(template)}:
                return template
            case _:
                pass
    return None
