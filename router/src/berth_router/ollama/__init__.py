"""Ollama's API, as far as it is translation: Ollama's words → Berth's, and back. Pure: no I/O, no clock of its own.

A request comes as parsed JSON, and becomes a call (`calls`), or an OllamaError. An engine's answer comes as bytes, and
becomes lines of JSON.

- `endpoints` has the paths that an engine answers; `serving.ollama_path` takes their requests the way of all others.
- `management.ollama_inventory` and `management.ollama_store` answer the rest, with what `inventory` and `pull` write.
- An InferenceCall's `content()` is the body for its path, as if a client had sent it there. `max_tokens` null means no
  limit, so no default is put in its place.
- An engine that is Transformers must not get the fields in `sampling.BEYOND_OPENAI`: it refuses what it does not know.
- `target.wishes` are no statements: see `Ask.wished_context_size`.
- `docs/reference/ollama.md` says for clients what is answered, mapped and refused.
"""
