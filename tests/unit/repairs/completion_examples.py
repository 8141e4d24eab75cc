"""Examples for the rows about the older completions."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from berth_api.inference import COMPLETIONS
from tests.unit.repairs.example import LLAMACPP, TRANSFORMERS, VLLM, Answered, Changed, Example, Kept, Refused


def token(text: str, logprob: float, **best: float) -> dict[str, Any]:
    return {
        "id": 1,
        "token": text,
        "bytes": [1],
        "logprob": logprob,
        "top_logprobs": [{"id": 2, "token": other, "bytes": [1], "logprob": value} for other, value in best.items()],
    }


def texts(*choices: dict[str, Any], **fields: Any) -> bytes:
    return orjson.dumps({"choices": list(choices), **fields})


def events(*contents: bytes) -> bytes:
    return b"".join([b"data: " + content + b"\n\n" for content in contents]) + b"data: [DONE]\n\n"


COMPLETION_EXAMPLES: Mapping[str, Sequence[Example]] = {
    "transformers-no-tokens": [
        Changed(COMPLETIONS, TRANSFORMERS, {"max_tokens": 0}, {"max_tokens": 1}),
        Answered(
            COMPLETIONS,
            TRANSFORMERS,
            {"max_tokens": 0},
            texts(
                {"index": 0, "text": " upon", "finish_reason": "length"},
                usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            ),
            texts(
                {"index": 0, "text": "", "finish_reason": "length", "logprobs": None},
                usage={"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
            ),
            streams=False,
        ),
    ],
    "no-tokens": [
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"max_tokens": 0, "echo": True, "prompt": "Once"},
            texts(
                {"index": 0, "text": " upon", "logprobs": None, "finish_reason": "length"},
                usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            ),
            texts(
                {"index": 0, "text": "Once", "logprobs": None, "finish_reason": "length"},
                usage={"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
            ),
            streams=False,
        ),
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"max_tokens": 0},
            events(texts({"index": 0, "text": " upon", "logprobs": None})),
            events(texts({"index": 0, "text": "", "logprobs": None})),
        ),
    ],
    "best-of": [
        Refused(COMPLETIONS, VLLM, {"best_of": 3}, "best_of"),
        Refused(COMPLETIONS, LLAMACPP, {"best_of": 3, "n": 2}, "best_of"),
        Changed(COMPLETIONS, TRANSFORMERS, {"best_of": 1}, {"best_of": None}),
        Changed(COMPLETIONS, VLLM, {"best_of": 2, "n": 2}, {"best_of": None, "n": 2}),
    ],
    "suffix": [
        Refused(COMPLETIONS, TRANSFORMERS, {"suffix": "end"}, "suffix"),
        Kept(COMPLETIONS, LLAMACPP, {"suffix": ""}),
    ],
    "echo": [
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": ["One", "Two"], "echo": True, "n": 2},
            texts(*({"index": index, "text": f" {index}"} for index in range(4)), id="1"),
            texts(
                {"index": 0, "text": "One 0"},
                {"index": 1, "text": "One 1"},
                {"index": 2, "text": "Two 2"},
                {"index": 3, "text": "Two 3"},
                id="1",
            ),
            streams=False,
        ),
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": "Once", "echo": True},
            events(texts({"index": 0, "text": " upon"}), texts({"index": 0, "text": " a"}), b'{"error":{}}'),
            events(texts({"index": 0, "text": "Once upon"}), texts({"index": 0, "text": " a"}), b'{"error":{}}'),
        ),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [1, 2], "echo": True}, "echo", "prompt"),
        Kept(COMPLETIONS, LLAMACPP, {"prompt": [1, 2], "echo": False}),
    ],
    "logprobs": [
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"logprobs": 1},
            texts({"index": 0, "text": "Hé!", "logprobs": {"content": [token("Hé", -1.5, A=-0.5), token("!", -0.1)]}}),
            texts(
                {
                    "index": 0,
                    "text": "Hé!",
                    "logprobs": {
                        "tokens": ["Hé", "!"],
                        "token_logprobs": [-1.5, -0.1],
                        "top_logprobs": [{"A": -0.5, "Hé": -1.5}, {"!": -0.1}],
                        "text_offset": [0, 2],
                    },
                }
            ),
            streams=False,
        ),
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"logprobs": 0},
            events(
                texts({"index": 0, "text": "Hé", "logprobs": {"content": [token("Hé", -1.5, A=-0.5)]}}),
                texts({"index": 1, "text": "?", "logprobs": {"content": [token("?", -0.2)]}}),
                texts({"index": 0, "text": "!", "logprobs": {"content": [token("!", -0.1)]}}),
                texts({"index": 0, "text": "", "logprobs": None}),
            ),
            events(
                *(
                    texts(
                        {
                            "index": index,
                            "text": text,
                            "logprobs": {
                                "tokens": [text],
                                "token_logprobs": [logprob],
                                "top_logprobs": [{text: logprob}],
                                "text_offset": [offset],
                            },
                        }
                    )
                    for index, text, logprob, offset in ((0, "Hé", -1.5, 0), (1, "?", -0.2, 0), (0, "!", -0.1, 2))
                ),
                texts({"index": 0, "text": "", "logprobs": None}),
            ),
        ),
        Changed(COMPLETIONS, LLAMACPP, {"logprobs": 0}, {"logprobs": 1}),
        Changed(COMPLETIONS, LLAMACPP, {"logprobs": 5}, {"logprobs": 5}),
        Kept(COMPLETIONS, VLLM, {"logprobs": 0}),
    ],
    "echo-logprobs": [
        Changed(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": [[7, 8, 9]], "echo": True, "logprobs": 2, "max_tokens": 1},
            {
                "prompt": [7],
                "grammar": "root ::= <[8]> <[9]> (!<[2147483647]>)*",
                "max_tokens": 3,
                "logprobs": 2,
            },
        ),
        Changed(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": [7], "echo": True, "logprobs": 0, "max_tokens": 4},
            {"prompt": [7], "grammar": None, "max_tokens": 4, "logprobs": 1},
        ),
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": [7, 8], "echo": True, "logprobs": 1, "max_tokens": 1},
            texts(
                {
                    "index": 0,
                    "text": " b c",
                    "logprobs": {"content": [token(" b", -3.5, x=-0.5), token(" c", -0.1)]},
                },
                usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            ),
            texts(
                {
                    "index": 0,
                    "text": " b c",
                    "logprobs": {
                        "tokens": ["", " b", " c"],
                        "token_logprobs": [None, -3.5, -0.1],
                        "top_logprobs": [None, {"x": -0.5, " b": -3.5}, {" c": -0.1}],
                        "text_offset": [0, 0, 2],
                    },
                },
                usage={"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
            ),
            streams=False,
        ),
        Answered(  # of one token, the engine makes another one, whatever it is asked
            COMPLETIONS,
            LLAMACPP,
            {"prompt": [7], "echo": True, "logprobs": 0, "max_tokens": 0},
            texts(
                {"index": 0, "text": " b", "logprobs": {"content": [token(" b", -3.5)]}},
                usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            ),
            texts(
                {
                    "index": 0,
                    "text": "",
                    "logprobs": {"tokens": [""], "token_logprobs": [None], "top_logprobs": [None], "text_offset": [0]},
                },
                usage={"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
            ),
            streams=False,
        ),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": "text", "echo": True, "logprobs": 1}, "echo", "/tokenize"),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [[1], [2]], "echo": True, "logprobs": 1}, "echo"),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [1], "echo": True, "logprobs": 1, "stop": "x"}, "stop"),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [1], "echo": True, "logprobs": 1, "stream": True}, "stream"),
        Refused(COMPLETIONS, LLAMACPP, {"prompt": [1], "echo": True, "logprobs": 1, "n": 2}, "n"),
        Kept(COMPLETIONS, VLLM, {"prompt": [1, 2], "echo": True, "logprobs": 1}),
    ],
    "several-completions": [
        Changed(COMPLETIONS, LLAMACPP, {"prompt": "a", "n": 3}, {"prompt": ["a", "a", "a"], "n": None}),
        Changed(COMPLETIONS, LLAMACPP, {"prompt": [1, 2], "n": 2}, {"prompt": [[1, 2], [1, 2]], "n": None}),
        Changed(COMPLETIONS, LLAMACPP, {"prompt": ["a", "b"], "n": 2}, {"prompt": ["a", "a", "b", "b"], "n": None}),
        Refused(COMPLETIONS, LLAMACPP, {"n": 9}, "n", "at most 8"),
        Kept(COMPLETIONS, LLAMACPP, {"n": 2, "seed": 5}),
        Kept(COMPLETIONS, LLAMACPP, {"n": 1}),
        Kept(COMPLETIONS, VLLM, {"n": 9}),
    ],
    "empty-events": [
        Answered(
            COMPLETIONS,
            LLAMACPP,
            {"prompt": ["a", "b"]},
            events(b"null", b'{"choices":[]}'),
            events(b'{"choices":[]}'),
        ),
        Answered(COMPLETIONS, LLAMACPP, {"n": 2}, events(b"null"), events()),
        Kept(COMPLETIONS, LLAMACPP, {"prompt": [1, 2]}),
    ],
}
"""By the row's name."""
