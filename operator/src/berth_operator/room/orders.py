"""What the decision about room means for one deployment that has to leave."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EvictionOrder:
    """That a deployment has to make room for another one."""

    wanted_by: str
    """The deployment that needs the room."""
    close: bool
    """Whether new requests wait from now on. Otherwise only those who use it are asked to say when they do not."""
