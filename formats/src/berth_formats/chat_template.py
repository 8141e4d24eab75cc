"""The chat template of a model: the text that makes one prompt of a conversation."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from berth_formats.errors import FormatError
from berth_formats.gguf import read_chat_template
from berth_formats.names import gguf_sets
from berth_formats.stream import content_of

DEFAULT, TOOL_USE = "default", "tool_use"
"""Names of templates, where a model has several."""

_NONE: Mapping[str, str] = {}

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
        return read_chat_template(directory / weights[0].files[0])
    return checkpoint_templates(directory, {name for name, _ in files}).get(DEFAULT)


def checkpoint_templates(directory: Path, names: Collection[str]) -> Mapping[str, str]:
    """The templates of a model in Hugging Face's format, by name: DEFAULT, TOOL_USE, ...

    `names`: of its files. Raises FormatError where they cannot be read.
    """
    if _TEMPLATE_FILE in names:
        return {DEFAULT: content_of(directory / _TEMPLATE_FILE, _MAX_TEMPLATE_BYTES).decode(errors="replace")}
    found = (_in_json(directory / name) for name in _JSON_FILES if name in names)
    return next((templates for templates in found if templates), _NONE)


def _in_json(path: Path) -> Mapping[str, str]:
    try:
        content: Any = json.loads(content_of(path, _MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is not JSON: {str(error)[:200]}") from error
    match content:
        case {"chat_template": str(template)}:
            return {DEFAULT: template} if template else {}
        case {"chat_template": [*named]}:
            return _by_name(named)
        case _:
            return {}


def _by_name(entries: Sequence[Any]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        match entry:
            case {"name": str(name), "template": str(template)}:
                found.setdefault(name, template)
            case _:
                pass
    return found
