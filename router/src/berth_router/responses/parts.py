"""The parts of a message, or of a tool's output → those of chat completions."""

from collections.abc import Mapping, Sequence
from typing import Any

from berth_router.responses.fields import list_of, object_of, text_of, unsupported, wrong_field

_TEXTS: Mapping[str, str] = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
"""Parts that are text, and the field that has it."""


def chat_content(content: object, at: str, separator: str) -> str | list[dict[str, Any]]:
    """The content of a message: a text where there is nothing else. Raises InvalidRequestError.

    Many chat templates take texts alone. `separator`: what stands between two texts.
    """
    if isinstance(content, str):
        return content
    parts = [
        _chat_part(object_of(part, f"{at}[{index}]"), f"{at}[{index}]")
        for index, part in enumerate(list_of(content, at))
    ]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return separator.join(texts) if len(texts) == len(parts) else parts


def texts_joined(contents: Sequence[str | list[dict[str, Any]]], separator: str) -> str | list[dict[str, Any]]:
    """Several contents as one."""
    if all(isinstance(content, str) for content in contents):
        return separator.join(str(content) for content in contents if content)
    parts: list[dict[str, Any]] = []
    for content in contents:
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return parts


def _chat_part(part: dict[str, Any], at: str) -> dict[str, Any]:
    kind = text_of(part, "type", at)
    if kind in _TEXTS:
        return {"type": "text", "text": text_of(part, _TEXTS[kind], at)}
    match kind:
        case "input_image":
            return {"type": "image_url", "image_url": _image(part, at)}
        case "input_audio":
            return {"type": "input_audio", "input_audio": object_of(part.get("input_audio"), f"{at}.input_audio")}
        case "input_file":
            raise unsupported(f"{at}.type", "Berth reads no files. Send what the file says as input_text.")
        case _:
            raise wrong_field(
                f"{at}.type",
                f"must be input_text, output_text, refusal, input_image or input_audio; got {kind[:100]!r}",
            )


def _image(part: dict[str, Any], at: str) -> dict[str, Any]:
    if part.get("image_url") is None and part.get("file_id") is not None:
        raise unsupported(f"{at}.file_id", "Berth stores no files. Send the image as a data URL in `image_url`.")
    image: dict[str, Any] = {"url": text_of(part, "image_url", at)}
    if part.get("detail") is not None:
        image["detail"] = part["detail"]
    return image
