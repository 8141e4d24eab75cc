"""lm-evaluation-harness: how likely a continuation is, by its client of the completions API."""

import json
import urllib.request
from typing import Any

import report
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalCompletionsAPI


class Tokenizer:
    """The model's own, by Berth's /tokenize: lm-eval would fetch one from the hub."""

    eos_token_id = 2
    eos_token = "<|im_end|>"

    def encode(self, text: str) -> list[int]:
        body = json.dumps({"model": report.MODEL, "content": text, "add_special": False}).encode()
        request = urllib.request.Request(f"{report.URL}/tokenize", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["tokens"]


def loglikelihood() -> None:
    made: Any = LocalCompletionsAPI
    client = made(
        model=report.MODEL,
        base_url=f"{report.URL}/v1/completions",
        tokenizer_backend=None,
        max_length=512,
        max_retries=1,
    )
    client.tokenizer_backend = "remote"
    client.tokenizer = Tokenizer()
    client.tokenized_requests = True
    question = "The capital of France is"
    asked = [Instance("loglikelihood", {}, (question, answer), 0) for answer in (" Paris", " carrot soup")]
    (likely, _), (unlikely, _) = client.loglikelihood(asked, disable_tqdm=True)
    assert unlikely < likely <= 0, (likely, unlikely)


report.report({"loglikelihood": loglikelihood})
