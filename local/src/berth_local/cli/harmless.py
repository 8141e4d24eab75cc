"""Text of models and engines, so that a terminal shows it and does not obey it: pure."""

import re

_COMMANDING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""The characters that a terminal obeys instead of showing them, and those that turn the direction of what follows."""

_PICTURES = 0x2400
"""Where Unicode has pictures of the first 32 of them."""


def harmless(text: str) -> str:
    """The text with pictures in place of the characters that a terminal would obey; newlines and tabs stay."""
    return _COMMANDING.sub(_picture, text.replace("\r\n", "\n"))


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code == 0x7F:
        return "\u2421"
    return chr(_PICTURES + code) if code < 0x20 else "\ufffd"
