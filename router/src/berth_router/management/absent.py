"""Paths of OpenAI's API that Berth does not have, and what to do instead."""

from collections.abc import Mapping

_SOUND = (
    "Sound is not transcribed here. A model that hears takes it in a message of /v1/chat/completions, as `input_audio`."
)
_STATE = "Berth keeps nothing of requests and answers. Send the whole conversation each time."
_JOBS = "There are no jobs in the background here. Send each request by itself; Berth queues them."

ABSENT: Mapping[str, str] = {
    "/v1/assistants": _STATE,
    "/v1/audio/speech": "No engine here speaks.",
    "/v1/audio/transcriptions": _SOUND,
    "/v1/audio/translations": _SOUND,
    "/v1/batches": _JOBS,
    "/v1/conversations": _STATE,
    "/v1/files": "There is no place for files here. Send what a request needs with it.",
    "/v1/fine_tuning": "No engine here trains models. POST /v1/models/download brings one that is trained.",
    "/v1/images": "No engine here makes images.",
    "/v1/moderations": "There is no moderation here. A model that was made for it answers /v1/chat/completions.",
    "/v1/realtime": "There are no WebSockets here. /v1/chat/completions streams.",
    "/v1/threads": _STATE,
    "/v1/vector_stores": "There is no place for vectors here. /v1/embeddings makes them.",
}
"""By the path; it stands for those below it too."""


def absent(path: str) -> str | None:
    """What to do instead of asking this path. None: it is none of OpenAI's API that is known here."""
    return next((says for known, says in ABSENT.items() if path == known or path.startswith(f"{known}/")), None)
