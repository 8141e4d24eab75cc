"""What an example for a row of the table is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from berth_api.model_deployment import Backend
from berth_formats.abilities import Abilities

LLAMACPP, VLLM, TRANSFORMERS = Backend.LLAMACPP, Backend.VLLM, Backend.TRANSFORMERS


@dataclass(frozen=True)
class Changed:
    """A request, and the body that the engine gets: only what differs, None where a field is taken off."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    got: Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """A request, and the field that the 400 names."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    param: str
    says: str = ""
    abilities: Abilities | None = None


@dataclass(frozen=True)
class Kept:
    """A request that looks like one that the row is for, and is not: it stays as it is."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    abilities: Abilities | None = None


@dataclass(frozen=True)
class Answered:
    """What an engine sends, and what the client gets."""

    path: str
    engine: Backend
    sent: Mapping[str, Any]
    answer: bytes
    got: bytes
    streams: bool = True


Example = Changed | Refused | Kept | Answered
