"""OpenAI's Responses API, as far as it is translation: a request → a chat completion's, and the answer back. Pure.

Every engine has chat completions, so all of them answer alike, and what is repaired there holds here too.

- `request` reads a body into a ResponsesCall: the body for chat completions, and what the answer repeats.
- `stream` and `whole` make events, or one object, of an engine's answer.
- Nothing is stored: what refers to an earlier response is refused, and answers say `store: false`.
- `docs/reference/responses.md` says for clients what is mapped and refused.
"""
