"""Questions that Ollama's own client asks."""

from typing import Any

import ollama

NAME = "tiny:latest"
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
DONE = b"data: [DONE]\n\n"


async def stream(client: Any, **fields: Any) -> list[ollama.ChatResponse]:
    return [part async for part in await client.chat(NAME, QUESTION, stream=True, **fields)]


async def chat(client: Any, **fields: Any) -> ollama.ChatResponse:
    return await client.chat(NAME, QUESTION, **fields)
