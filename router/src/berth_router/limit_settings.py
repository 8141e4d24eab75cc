"""What an administrator can set of the byte path's limits: what a peer may cost."""

from pydantic import Field
from pydantic_settings import BaseSettings

from berth_router.serving.limits import Limits

YEAR_SECONDS = 31_536_000
"""The longest time that a setting can state."""

MIB = 1024 * 1024


class LimitSettings(BaseSettings):
    """The settings of the limits, which are a part of a router's."""

    max_body_bytes: int = Field(
        default=64 * MIB,
        ge=1024,
        alias="BERTH_MAX_BODY_BYTES",
        description="Bytes of the longest request body that is taken.",
    )
    max_bodies_bytes: int = Field(
        default=256 * MIB,
        ge=1024,
        alias="BERTH_MAX_BODIES_BYTES",
        description="Bytes of all request bodies in hand together. A body that has no room waits, unread,"
        " up to BERTH_BODY_SILENCE_SECONDS.",
    )
    max_connections: int = Field(
        default=16_384,
        ge=1,
        alias="BERTH_MAX_CONNECTIONS",
        description="Connections of clients at once. Idle ones are closed for new ones.",
    )
    max_requests_per_model: int = Field(
        default=512,
        ge=1,
        alias="BERTH_MAX_REQUESTS_PER_MODEL",
        description="Requests for one model, waiting and being answered together; more get a 429.",
    )
    max_requests_per_key: int = Field(
        default=512,
        ge=1,
        alias="BERTH_MAX_REQUESTS_PER_KEY",
        description="Requests in hand at once with one API key; more get a 429.",
    )
    head_seconds: float = Field(
        default=10,
        gt=0,
        le=YEAR_SECONDS,
        alias="BERTH_HEAD_SECONDS",
        description="Seconds that a client has for the head of a request.",
    )
    keep_alive_seconds: float = Field(
        default=120,
        gt=0,
        le=YEAR_SECONDS,
        alias="BERTH_KEEP_ALIVE_SECONDS",
        description="Seconds that a client's connection may be idle between requests.",
    )
    body_silence_seconds: float = Field(
        default=60,
        gt=0,
        le=YEAR_SECONDS,
        alias="BERTH_BODY_SILENCE_SECONDS",
        description="Longest silence within a request's body, in seconds.",
    )
    body_seconds: float = Field(
        default=600,
        gt=0,
        le=YEAR_SECONDS,
        alias="BERTH_BODY_SECONDS",
        description="Seconds that a client has for a whole body.",
    )
    stalled_client_seconds: float = Field(
        default=60,
        gt=0,
        le=YEAR_SECONDS,
        alias="BERTH_STALLED_CLIENT_SECONDS",
        description="Seconds after which a client that takes nothing of its answer loses its connection.",
    )
    engine_connect_seconds: float = Field(
        default=5,
        gt=0,
        le=YEAR_SECONDS,
        alias="BERTH_ENGINE_CONNECT_SECONDS",
        description="Seconds to connect to an engine.",
    )
    engine_first_byte_seconds: float = Field(
        default=600,
        gt=0,
        le=YEAR_SECONDS,
        alias="BERTH_ENGINE_FIRST_BYTE_SECONDS",
        description="Seconds until an engine must begin to answer. Without `stream` it makes the whole answer first.",
    )
    engine_silence_seconds: float = Field(
        default=300,
        gt=0,
        le=YEAR_SECONDS,
        alias="BERTH_ENGINE_SILENCE_SECONDS",
        description="Longest silence within an engine's answer, in seconds.",
    )
    peer_seconds: float = Field(
        default=60,
        ge=4,
        le=YEAR_SECONDS,
        alias="BERTH_PEER_SECONDS",
        description="Seconds after which a connection ends whose other side acknowledges nothing, such as a dead node.",
    )

    def limits(self) -> Limits:
        """The limits of the byte path."""
        return Limits(
            head_seconds=self.head_seconds,
            keep_alive_seconds=self.keep_alive_seconds,
            body_silence_seconds=self.body_silence_seconds,
            body_seconds=self.body_seconds,
            body_bytes=self.max_body_bytes,
            bodies_bytes=self.max_bodies_bytes,
            stalled_client_seconds=self.stalled_client_seconds,
            connections=self.max_connections,
            requests_per_model=self.max_requests_per_model,
            requests_per_key=self.max_requests_per_key,
            connect_seconds=self.engine_connect_seconds,
            first_byte_seconds=self.engine_first_byte_seconds,
            silence_seconds=self.engine_silence_seconds,
            peer_seconds=self.peer_seconds,
        )
