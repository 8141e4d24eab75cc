"""Rows about the blocks of which a message of Anthropic's API is made.

llama.cpp leaves out a block of a type that it does not know, and answers as if it had not been sent. vLLM refuses such
a block in a message, and leaves it out of a tool's result.
"""

from collections.abc import Callable
from itertools import chain
from operator import itemgetter
from typing import Any, cast

from berth_api.inference import MESSAGES, MESSAGES_COUNT_TOKENS
from berth_api.model_deployment import Backend
from berth_router.errors import InvalidRequestError, wrong_value
from berth_router.repairs.repair import EVERY_ENGINE, JsonFields, Repair, RepairKind, RequestSign

_PATHS = frozenset({MESSAGES, MESSAGES_COUNT_TOKENS})

_PLAIN = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
"""Types that engines read, or whose meaning is for Anthropic's servers alone: a thought that is not readable."""

_PLAIN_OR_RESULT = _PLAIN | {"tool_result"}

_OF_TOOL_SEARCH = frozenset({"tool_reference", "tool_addition", "tool_removal"})
"""Types that vLLM alone reads."""

_content_of, _type_of = itemgetter("content"), itemgetter("type")

_SEEN = ("base64", "url")
"""Sources of images that engines read."""


def _has_special_block(body: JsonFields) -> bool:
    """Whether a message has a block that has to be looked at. Agents send hundreds of blocks, nearly all of them plain.

    What is not made as a message is special too.
    """
    try:
        contents = [*map(_content_of, body["messages"])]
        if not all(contents):
            return True
        lists = [content for content in contents if type(content) is not str]
        kinds = {*map(_type_of, chain.from_iterable(lists))}
        if kinds <= _PLAIN:
            return False
        return not kinds <= _PLAIN_OR_RESULT or not all(map(_is_plain_result, chain.from_iterable(lists)))
    except (TypeError, KeyError, AttributeError):
        return True


def _is_plain_result(block: JsonFields) -> bool:
    """Whether a result of a tool is a text, or some; any other block counts as plain."""
    if block["type"] != "tool_result":
        return True
    content = block.get("content")
    return type(content) is str or content is None or all(part["type"] == "text" for part in content)


# -- documents


def _write_documents(body: JsonFields) -> None:
    """Makes each document that is text a block of text. Raises InvalidRequestError."""
    _replace_in_messages(body, _written)


def _replace_in_messages(body: JsonFields, replaced: Callable[[JsonFields, str], list[Any]]) -> None:
    messages = body["messages"]
    for at, message in enumerate(cast("list[Any]", messages)):
        if isinstance(message, dict):
            _replace_in(cast("JsonFields", message), f"messages[{at}].content", replaced)


def _replace_in(holder: JsonFields, field: str, replaced: Callable[[JsonFields, str], list[Any]]) -> None:
    """Replaces the blocks of a message's content, or of a tool's result, if it is a list."""
    content = holder.get("content")
    if not isinstance(content, list):
        return
    blocks: list[Any] = []
    for at, block in enumerate(cast("list[Any]", content)):
        place = f"{field}[{at}]"
        if not isinstance(block, dict):
            blocks.append(block)
            continue
        fields = cast("JsonFields", block)
        if fields.get("type") == "tool_result":
            _replace_in(fields, f"{place}.content", replaced)
        blocks += replaced(fields, place)
    holder["content"] = blocks


def _written(block: JsonFields, field: str) -> list[Any]:
    """What stands for a block: texts for a document or a result of a search, and the others themselves."""
    match block.get("type"):
        case "document":
            inside = _document_content(block.get("source"), f"{field}.source")
            named = {"title": block.get("title"), "context": block.get("context")}
            return _enclosed("document", named, inside, block, field)
        case "search_result":
            inside = _blocks(block.get("content"), f"{field}.content")
            named = {"source": block.get("source"), "title": block.get("title")}
            return _enclosed("search_result", named, inside, block, field)
        case _:
            return [block]


def _document_content(source: object, field: str) -> list[Any]:
    fields = cast("JsonFields", source) if isinstance(source, dict) else {}
    match fields.get("type"):
        case "text":
            if not isinstance(fields.get("data"), str):
                raise wrong_value(f"{field}.data", "must be the document's text", fields.get("data"))
            return [_text(fields["data"])]
        case "content":
            return _blocks(fields.get("content"), f"{field}.content")
        case other:
            raise wrong_value(
                f"{field}.type",
                'must be "text" or "content": no engine here reads files, such as PDF; send their text',
                other,
                code="unsupported_value",
            )


def _blocks(content: object, field: str) -> list[Any]:
    """The content of a document: a text, or blocks of text and images."""
    if isinstance(content, str):
        return [_text(content)]
    if not isinstance(content, list):
        raise wrong_value(field, "must be a text or a list of blocks", content)
    for at, block in enumerate(cast("list[Any]", content)):
        fields = cast("JsonFields", block) if isinstance(block, dict) else {}
        if fields.get("type") not in ("text", "image"):
            raise wrong_value(f"{field}[{at}].type", 'must be "text" or "image"', fields.get("type"))
        if fields["type"] == "text" and not isinstance(fields.get("text"), str):
            raise wrong_value(f"{field}[{at}].text", "must be a text", fields.get("text"))
    return cast("list[Any]", content)


def _enclosed(name: str, named: JsonFields, inside: list[Any], block: JsonFields, field: str) -> list[Any]:
    """The blocks between two marks, as models know documents. Raises InvalidRequestError where they should be cited."""
    citations = block.get("citations")
    if isinstance(citations, dict) and cast("JsonFields", citations).get("enabled"):
        raise InvalidRequestError(
            f"`{field}.citations` cannot be enabled: no engine here says from where in a document an answer is.",
            param=f"{field}.citations",
            code="unsupported_value",
        )
    for part, value in named.items():
        if value is not None and not isinstance(value, str):
            raise wrong_value(f"{field}.{part}", "must be a text", value)
    lines = [f"<{part}>{value}</{part}>\n" for part, value in named.items() if value]
    begin, end = f"<{name}>\n{''.join(lines)}<content>\n", f"\n</content>\n</{name}>\n"
    if all(each["type"] == "text" for each in inside):  # one text: some templates take a message of one part alone
        return [_text(begin + "".join(each["text"] for each in inside) + end)]
    return [_text(begin), *inside, _text(end)]


def _text(text: str) -> JsonFields:
    return {"type": "text", "text": text}


# -- what is not read


def _check_messages(body: JsonFields) -> None:
    """Raises InvalidRequestError for the first block, or message, that an engine would leave out."""
    for at, message in enumerate(body["messages"]):
        field = f"messages[{at}]"
        if not isinstance(message, dict):
            raise wrong_value(field, "must be an object", message)
        fields = cast("JsonFields", message)
        content = fields.get("content")
        if isinstance(content, list):
            if not content and fields.get("role") == "user":
                raise wrong_value(f"{field}.content", "must not be empty", "[]")
            _check_blocks(cast("list[Any]", content), f"{field}.content")
        elif not isinstance(content, str):
            raise wrong_value(f"{field}.content", "must be a text or a list of blocks", content)


def _check_blocks(blocks: list[Any], field: str) -> None:
    for at, block in enumerate(blocks):
        place = f"{field}[{at}]"
        if not isinstance(block, dict):
            raise wrong_value(place, "must be an object", block)
        _check_block(cast("JsonFields", block), place)


def _check_block(block: JsonFields, field: str) -> None:
    match block.get("type"):
        case "image":
            source = block.get("source")
            kind = cast("JsonFields", source).get("type") if isinstance(source, dict) else source
            if kind not in _SEEN:
                raise wrong_value(f"{field}.source.type", 'must be "base64" or "url"', kind, code="unsupported_value")
        case "tool_result":
            content = block.get("content")
            if isinstance(content, list):
                _check_blocks(cast("list[Any]", content), f"{field}.content")
            elif content is not None and not isinstance(content, str):
                raise wrong_value(f"{field}.content", "must be a text or a list of blocks", content)
        case str() as kind if kind in _PLAIN or kind in _OF_TOOL_SEARCH:
            pass
        case kind:
            raise wrong_value(
                f"{field}.type",
                "must be one of text, image, document, search_result, thinking, tool_use and tool_result",
                kind,
                code="unsupported_value",
            )


def _refuse_tool_search(body: JsonFields) -> None:
    _replace_in_messages(body, _not_of_tool_search)


def _not_of_tool_search(block: JsonFields, field: str) -> list[Any]:
    if block.get("type") in _OF_TOOL_SEARCH:
        raise wrong_value(
            f"{field}.type", "is one that backend llamacpp does not read", block["type"], code="unsupported_value"
        )
    return [block]


# -- system


def _has_special_system(body: JsonFields) -> bool:
    system = body["system"]
    try:
        return type(system) is not str and not all(
            block["type"] == "text" and type(block["text"]) is str for block in system
        )
    except (TypeError, KeyError):
        return True


def _check_system(body: JsonFields) -> None:
    system = body["system"]
    if not isinstance(system, list):
        raise wrong_value("system", "must be a text or a list of blocks", system)
    for at, block in enumerate(cast("list[Any]", system)):
        fields = cast("JsonFields", block) if isinstance(block, dict) else {}
        if fields.get("type") != "text":
            raise wrong_value(f"system[{at}].type", 'must be "text"', fields.get("type"))
        if not isinstance(fields.get("text"), str):
            raise wrong_value(f"system[{at}].text", "must be a text", fields.get("text"))


_MESSAGES_SIGN = RequestSign(frozenset({"messages"}), concerns=_has_special_block)

CONTENT_BLOCKS = (
    Repair(
        "document-blocks",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="messages",
        kind=RepairKind.MAPPED,
        says=(
            "A `document` whose source is `text` or `content`, and a `search_result`, become text, with `title`,"
            " `context` and `source`. Other documents, such as PDF, and `citations` are refused."
        ),
        sign=_MESSAGES_SIGN,
        request=_write_documents,
    ),
    Repair(
        "content-blocks",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="messages",
        kind=RepairKind.REFUSED,
        says=(
            "A block of a type that no engine reads, such as those of Anthropic's own servers, an image from a file's"
            " id, and a message of the user without content. A `redacted_thinking` block is left out."
        ),
        sign=_MESSAGES_SIGN,
        request=_check_messages,
    ),
    Repair(
        "tool-search-blocks",
        engines=frozenset({Backend.LLAMACPP}),
        paths=_PATHS,
        field="messages",
        kind=RepairKind.REFUSED,
        says="Blocks of the types `tool_reference`, `tool_addition` and `tool_removal`.",
        sign=_MESSAGES_SIGN,
        request=_refuse_tool_search,
    ),
    Repair(
        "system-blocks",
        engines=EVERY_ENGINE,
        paths=_PATHS,
        field="system",
        kind=RepairKind.REFUSED,
        says="What is neither a text nor a list of blocks of text.",
        sign=RequestSign(frozenset({"system"}), concerns=_has_special_system),
        request=_check_system,
    ),
)
