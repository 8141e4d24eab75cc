"""Requests to models, as the router reads them, and what engines get of them."""

from dataclasses import replace
from typing import Any

import orjson

from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from berth_router.request.ask import Ask, InferenceRequest, RequestParser
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.request.profiles import Profile

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hello"}]

PROFILES = {
    "fast": Profile(backend=Backend.VLLM, device=Device.CUDA, gpu_memory_utilization=0.9, max_model_len=8192),
    "long": Profile(n_ctx=32768),
}
PARSER = RequestParser(PROFILES)

TRANSFORMERS = ModelDeploymentSpec(model="/models/tiny", backend=Backend.TRANSFORMERS, device=Device.CPU)
LLAMACPP = ModelDeploymentSpec(model="/models/tiny", backend=Backend.LLAMACPP, device=Device.CPU)


def requested(path: str = CHAT, **fields: Any) -> InferenceRequest:
    prompt = {"messages": MESSAGES} if path == CHAT else {}
    return PARSER.parse(orjson.dumps({"model": "/models/tiny", **prompt, **fields}), INFERENCE_PATHS[path])


def body_of(request: InferenceRequest) -> dict[str, Any]:
    """What an engine gets that calls the model as the store does."""
    return orjson.loads(request.body_for(LLAMACPP, request.ask.model))


def parsed(**fields: Any) -> tuple[Ask, dict[str, Any]]:
    request = requested(**fields)
    assert request.ask.path == CHAT
    return replace(request.ask, path=None), body_of(request)
