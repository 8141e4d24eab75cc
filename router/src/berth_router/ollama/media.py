"""Images, and sounds, which Ollama's clients send as bare base64, as parts of a message of OpenAI's API."""

import binascii
from typing import Any

from berth_router.ollama.errors import wrong_field

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"ID3", "audio/mp3"),
    (b"\xff\xfb", "audio/mp3"),
)
_IN_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
"""What follows `RIFF` and four bytes of length."""


def media_part(encoded: str, field: str) -> dict[str, Any]:
    """The part of a message for one image or sound. `encoded`: base64, or a data URL.

    Raises OllamaError, which names `field`.
    """
    if encoded.startswith("data:"):
        encoded = encoded.partition(",")[2]
    encoded = "".join(encoded.split())
    try:
        content = binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError:  # also what is not ASCII
        raise wrong_field(field, "must be base64") from None
    media_type = media_type_of(content)
    if media_type is None:
        raise wrong_field(field, "must be an image (PNG, JPEG, GIF, WebP, BMP, TIFF) or a sound (WAV, MP3)")
    kind, _, form = media_type.partition("/")
    if kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": encoded, "format": form}}
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{encoded}"}}


def media_type_of(content: bytes) -> str | None:
    """The media type that the first bytes show; None where they show none that is known."""
    if content.startswith(b"RIFF"):
        return _IN_RIFF.get(content[8:12])
    return next((media_type for beginning, media_type in _BEGINNINGS if content.startswith(beginning)), None)
