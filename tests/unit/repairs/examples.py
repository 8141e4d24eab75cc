"""At least one example for each row of the table: what a user of the row notices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from berth_api.inference import CHAT_COMPLETIONS, MESSAGES
from berth_api.model_deployment import Backend

LLAMACPP, VLLM, TRANSFORMERS = Backend.LLAMACPP, Backend.VLLM, Backend.TRANSFORMERS
USER = {"role": "user", "content": "Hi"}


@dataclass(frozen=True)
class Changed:
    """A request, and the body that the engine gets: only what differs, None where a field is taken off."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    got: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """A request, and the field that the 400 names."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    param: str
    says: str = ""


@dataclass(frozen=True)
class Kept:
    """A request that looks like one that the row is for, and is not: it stays as it is."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]


@dataclass(frozen=True)
class Answered:
    """What an engine sends, and what the client gets."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    answer: bytes
    got: bytes
    streams: bool = True


Example = Changed | Refused | Kept | Answered


def chat(engine: Backend, sent: Mapping[str, Any], got: Mapping[str, Any]) -> Changed:
    return Changed(CHAT_COMPLETIONS, engine, {"messages": [USER], **sent}, got)


EXAMPLES: Mapping[str, Sequence[Example]] = {
    "nulls": [
        chat(LLAMACPP, {"messages": [{**USER, "name": None}], "stop": None}, {"messages": [USER], "stop": None}),
        Kept(CHAT_COMPLETIONS, VLLM, {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": []}]}),
        Kept(CHAT_COMPLETIONS, VLLM, {"messages": [{"role": "user", "content": "what is null?"}]}),
    ],
    "role-chunk": [
        Answered(
            CHAT_COMPLETIONS,
            LLAMACPP,
            {},
            b': comment\n\ndata: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f\x8c\x9f"},"finish_reason":null}],'
            b'"id":"1","timings":{}}\n\ndata: {"more":1}\n\n',
            b': comment\n\ndata: {"choices":[{"index":0,"delta":{"role":"assistant","content":null},'
            b'"finish_reason":null}],"id":"1"}\n\n'
            b'data: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f\x8c\x9f"},"finish_reason":null}],'
            b'"id":"1","timings":{}}\n\ndata: {"more":1}\n\n',
        ),
        *(
            Answered(CHAT_COMPLETIONS, LLAMACPP, {}, unchanged, unchanged)
            for unchanged in (
                b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}\n\ndata: [DONE]\n\n',
                b'data: {"error":{"message":"no"}}\n\n',
                b"data: [DONE]\n\n",
                b"data: {half",
                b"data: 5\n\n",
                b"",
            )
        ),
    ],
    "message-start": [
        Answered(
            MESSAGES,
            LLAMACPP,
            {},
            b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n',
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_req_1","type":"message",'
            b'"role":"assistant","content":[],"model":"tiny","stop_reason":null,"stop_sequence":null,'
            b'"usage":{"input_tokens":0,"output_tokens":0}}}\n\n'
            b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n',
        ),
        *(
            Answered(MESSAGES, LLAMACPP, {}, unchanged, unchanged)
            for unchanged in (
                b"event: message_start\ndata: {}\n\nevent: message_stop\ndata: {}\n\n",
                b'event: error\ndata: {"type":"error"}\n\n',
            )
        ),
    ],
}
"""By the row's name."""
