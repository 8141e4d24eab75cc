"""At least one example for each row of the table: what a user of the row notices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from berth_api.inference import CHAT_COMPLETIONS, DETOKENIZE, EMBEDDINGS, MESSAGES, RERANK, TOKENIZE
from berth_api.model_deployment import Backend

LLAMACPP, VLLM, TRANSFORMERS = Backend.LLAMACPP, Backend.VLLM, Backend.TRANSFORMERS
TOKENS = {"tokens": [1]}
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
    "dimensions": [
        Answered(
            EMBEDDINGS,
            LLAMACPP,
            {"dimensions": 2},
            b'{"model":"tiny","data":[{"embedding":[3.0,4.0,5.0],"index":0},{"embedding":[0.0,0.0,5.0],"index":1}]}',
            b'{"model":"tiny","data":[{"embedding":[0.6,0.8],"index":0},{"embedding":[0.0,0.0],"index":1}]}',
            streams=False,
        ),
        Answered(
            EMBEDDINGS,
            LLAMACPP,
            {"dimensions": 1, "encoding_format": "base64"},
            b'{"data":[{"embedding":"AABAQAAAgEA=","index":0}]}',  # 3.0, 4.0
            b'{"data":[{"embedding":"AACAPw==","index":0}]}',  # 1.0
            streams=False,
        ),
        *(
            Refused(EMBEDDINGS, LLAMACPP, {"dimensions": wrong}, "dimensions", "from 1")
            for wrong in (0, -1, 1.5, "8", True, 10**9)
        ),
        Kept(EMBEDDINGS, VLLM, {"dimensions": 8}),
        Changed(EMBEDDINGS, LLAMACPP, {"dimensions": None, "encoding_format": None}, {"encoding_format": None}),
    ],
    "top-n": [
        *(
            Refused(RERANK, engine, {"documents": ["a"], "top_n": wrong}, "top_n", "from 1")
            for wrong in (0, -1, 1.5, "2", True, 2**40)
            for engine in (LLAMACPP, VLLM)
        ),
        Kept(RERANK, LLAMACPP, {"documents": ["a"], "top_n": 3}),
        Changed(RERANK, LLAMACPP, {"documents": ["a"], "top_n": None}, {"top_n": None}),
    ],
    "documents": [
        Changed(RERANK, LLAMACPP, {"documents": [{"text": "a"}, "b"]}, {"documents": ["a", "b"]}),
        Refused(RERANK, LLAMACPP, {"documents": [{"image": "a"}]}, "documents", "`text`"),
        Kept(RERANK, VLLM, {"documents": [{"text": "a"}]}),
        Kept(RERANK, LLAMACPP, {"documents": ["a", "b"]}),
    ],
    "return-documents": [
        Answered(
            RERANK,
            LLAMACPP,
            {"documents": ["a", {"text": "b"}], "return_documents": True},
            b'{"results":[{"index":1,"relevance_score":0.5},{"index":7}]}',
            b'{"results":[{"index":1,"relevance_score":0.5,"document":{"text":"b"}},{"index":7}]}',
            streams=False,
        ),
        Kept(RERANK, LLAMACPP, {"documents": ["a"], "return_documents": False}),
    ],
    "tokens": [
        *(
            Refused(DETOKENIZE, engine, {"tokens": wrong}, "tokens")
            for wrong in ([-1], [1.5], ["a"], [True], [2**40], [[1]])
            for engine in (LLAMACPP, VLLM)
        ),
        Kept(DETOKENIZE, LLAMACPP, {"tokens": [0, 5]}),
    ],
    "text-names": [
        Answered(DETOKENIZE, LLAMACPP, TOKENS, b'{"content":"a"}', b'{"content":"a","prompt":"a"}', streams=False),
        Answered(DETOKENIZE, VLLM, TOKENS, b'{"prompt":"a"}', b'{"prompt":"a","content":"a"}', streams=False),
    ],
    "count": [
        Answered(TOKENIZE, LLAMACPP, {}, b'{"tokens":[5,6]}', b'{"tokens":[5,6],"count":2}', streams=False),
    ],
}
"""By the row's name."""
