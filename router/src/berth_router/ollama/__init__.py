"""Ollama's API, as far as it is translation: Ollama's words → Berth's, and back. Pure: no I/O, no clock of its own.

A request comes as parsed JSON, and becomes a call (`calls`), or an OllamaError. An engine's answer comes as bytes, and
becomes lines of JSON. What the wiring does with them:

- **Bodies** come without a content type. The router parses them within its own bounds for JSON.
- **Paths.** `GET` and `HEAD /`: 200 `Ollama is running`. `/api/version`: `inventory.VERSION`. `/api/chat`: `chat_call`;
  `/api/generate`: `generate_call`; `/api/embed`, `/api/embeddings`: `embed_call`, `embeddings_call`. `/api/tags`,
  `/api/ps`, `/api/show`: `inventory`; `/api/pull`: `pull`. `DELETE /api/delete`: `model_of`, then `berth_name`.
  `/api/copy`, `/api/create`, `/api/push`, `/api/blobs`: 501. Keys and scopes are those of Berth's own paths.
- **InferenceCall.** `content()` is the body for `path`, as if a client had sent it there. `max_tokens` null means no
  limit, so the API's default must not be put in its place: parse it for an Endpoint whose `output_limit` is None. The
  path `/infill` is llama.cpp's alone, and no inference path of Berth yet.
  An engine that is Transformers must not get the fields in `sampling.BEYOND_OPENAI`: it refuses what it does not know.
- **Wishes.** `target.wishes` are no statements: they say which settings a deployment may get that has to be started, of
  llama.cpp and within what the operator's defaults allow. They do not constrain which live one is used.
- **unloads.** After the answer the model is unloaded, as soon as no request uses it. A LoadCall is queued as a request
  is, claims nothing, and leaves the TTL's promise. An UnloadCall is Berth's unload. Both are answered with
  `LineWriter.without_engine`; those of embeddings with `embed_loaded` and `embeddings_loaded`.
- **The answer.** An AnswerClock is made when the request comes, and `sent_to_engine` is called as an engine gets it.
  While the model starts nothing is sent, not even a head: the lines have no comments. So a refusal before the first
  line has its own status; its body is `error_content`, of `error_text` of what the router or the engine says. Then the
  head: 200, `application/x-ndjson`, and AnswerStream for `/api/chat` and `/api/generate`, `feed` for each piece of the
  engine's, `end` when there are no more. Without `streams`: `whole_answer`, `application/json`.
- **404.** A model that is not in the store is `model_not_found`: clients look for the status, and offer a download.
- **Inventory.** A KnownModel's `chat_template` is text that berth_formats reads, and does not hand out yet.
- **Downloads.** `PullCall`'s url and quantization are fields of a download; PullProgress makes lines of its states.
"""
