"""How a server of this machine is to serve."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How to serve."""

    models: Path | None = None
    """The model store. None: `models` in the state folder."""
    host: str = "127.0.0.1"
    port: int = 8080
    """0: any free port."""
    home: Path | None = None
    """The state folder. None: that of `home_directory`."""
    api_key: str | None = None
    """The key that every request must carry. It is needed where other machines can connect."""
    memory_bytes: int | None = None
    """Bytes of the machine's memory that all models together may take. None: `default_budget` says how many."""
    defaults: Mapping[str, str] = field(default_factory=dict[str, str])
    """What requests get that state nothing of it, and aliases: variables of the router, before the environment's."""
    drain_seconds: int | None = None
    """The time that answers under way get at the end. None: `router_settings` says how much."""
    lasts: bool = True
    """False: the server ends with the command that starts it."""
