"""Examples for the rows about vectors, the order of texts, and tokens."""

from collections.abc import Mapping, Sequence

from berth_api.inference import DETOKENIZE, EMBEDDINGS, RERANK, TOKENIZE
from tests.unit.repairs.example import LLAMACPP, VLLM, Answered, Changed, Example, Kept, Refused

TOKENS = {"tokens": [1]}

PATH_EXAMPLES: Mapping[str, Sequence[Example]] = {
    "null-fields": [
        Changed(EMBEDDINGS, LLAMACPP, {"dimensions": None, "encoding_format": None}, {"encoding_format": None}),
        Changed(RERANK, LLAMACPP, {"documents": ["a"], "top_n": None}, {"top_n": None}),
        Kept(EMBEDDINGS, LLAMACPP, {"input": "null"}),
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
    ],
    "top-n": [
        *(
            Refused(RERANK, engine, {"documents": ["a"], "top_n": wrong}, "top_n", "from 1")
            for wrong in (0, -1, 1.5, "2", True, 2**40)
            for engine in (LLAMACPP, VLLM)
        ),
        Kept(RERANK, LLAMACPP, {"documents": ["a"], "top_n": 3}),
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
