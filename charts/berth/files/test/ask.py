"""Asks the release's router, as any client would, whether it serves.

Runs in the pod of `helm test`; prints what it is answered.
"""

import json
import os
import sys
import urllib.error
import urllib.request


def base_url() -> str:
    """The router's Service: its address from the environment that Kubernetes gives the pod, or else its DNS name."""
    service = os.environ["SERVICE"]
    address = os.environ.get(service.upper().replace("-", "_") + "_SERVICE_HOST", service)
    return f"http://{address}:{os.environ['SERVICE_PORT']}"


def ask(path: str, body: dict[str, object] | None = None) -> str:
    """The answer's body. Ends the test with the reason where there is none, or an error."""
    request = urllib.request.Request(
        base_url() + path,
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('API_KEY', '')}"},
    )
    print(request.get_method(), request.full_url, flush=True)
    try:
        with urllib.request.urlopen(request, timeout=float(os.environ["TIMEOUT_SECONDS"])) as response:
            return response.read().decode()
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code} {error.reason}: {error.read().decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"no answer: {error}")


ask("/readyz")
models = [model["id"] for model in json.loads(ask("/v1/models"))["data"]]
print("models:", ", ".join(models) or "none in the store yet")

model = os.environ.get("MODEL")
if model:
    question = "What is the capital of France?"
    answer = json.loads(
        ask("/v1/chat/completions", {"model": model, "max_tokens": 32, "messages": [{"role": "user", "content": question}]})
    )
    print(f"{question}\n{answer['choices'][0]['message']['content']}")
