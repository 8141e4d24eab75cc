"""What a model thought, on its way to the client and back.

Engines want it back as plain text. Clients keep a response's reasoning item and send it again, but many of them only
`encrypted_content`. So, where a request asks for that, it has the text, in a form that no client takes for its own.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from berth_router.engine_answers.json_values import as_list, as_object, as_text

_MARK = b"berth:"
"""With this begins what Berth wrote: others' content is encrypted indeed, and says nothing here."""


def carried(text: str) -> str:
    """The text as `encrypted_content`. It is no secret, and not encrypted: base64."""
    return base64.b64encode(_MARK + text.encode(errors="replace")).decode()


def text_of_item(item: Mapping[str, Any]) -> str:
    """The text of a reasoning item that a client sends again; empty where it says nothing readable."""
    whole = _joined(item.get("content"))
    return whole or _carried_text(item.get("encrypted_content")) or _joined(item.get("summary"))


def _joined(parts: object) -> str:
    return "\n".join(text for part in as_list(parts) if (text := as_text(as_object(part).get("text"))))


def _carried_text(content: object) -> str:
    if not isinstance(content, str):
        return ""
    try:
        decoded = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return decoded.removeprefix(_MARK).decode(errors="replace") if decoded.startswith(_MARK) else ""
