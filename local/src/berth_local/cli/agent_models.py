"""Which model a coding agent gets, and with how large a window: pure, from what `GET /v1/models` says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from berth_local.cli.printing import model_name

LARGEST_WINDOW = 65_536
"""Tokens. Agents work with more, but the memory that it takes grows with it: --n-ctx states another one."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that the server has."""

    name: str
    kind: str | None
    """None: not known."""
    tools: bool | None
    """Whether its template tells it of tools. None: not known."""
    window: int | None
    """Tokens of context of what runs, or of what a request would start."""
    made_for: int | None
    """Tokens of context that it was made for."""
    parameters: int | None
    loaded: bool
    aliases: Sequence[str] = ()
    """Other names for the same."""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """From one entry of the list."""
        meta: Mapping[str, Any] = entry.get("meta") or {}
        status: Mapping[str, Any] = entry.get("status") or {}
        return cls(
            name=model_name(entry["id"]),
            kind=entry.get("kind"),
            tools=entry.get("tools"),
            window=meta.get("n_ctx") or entry.get("context_length"),
            made_for=meta.get("n_ctx_train"),
            parameters=meta.get("n_params"),
            loaded=status.get("value") == "loaded",
            aliases=tuple(map(model_name, entry.get("aliases") or ())),
        )

    def why_not(self, needs: int, tools: bool) -> str | None:
        """Why an agent that needs so large a window, and perhaps tools, cannot work with it. None: nothing is known."""
        if self.kind not in (None, "chat"):
            return f"it is for {self.kind}, not for chat"
        if tools and self.tools is False:
            return "its chat template has no tools"
        if self.made_for is not None and self.made_for < needs:
            return f"it was made for {self.made_for} tokens of context, and {needs} are needed"
        return None


def suitable(offers: Sequence[Offer], needs: int, tools: bool) -> Sequence[Offer]:
    """The models that the agent can work with, each once, the best guess first: what runs, then the largest."""
    others = {alias for offer in offers for alias in offer.aliases}
    models = [offer for offer in offers if "@" not in offer.name and offer.name not in others]
    found = [offer for offer in models if offer.why_not(needs, tools) is None]
    return sorted(found, key=lambda offer: (not offer.loaded, -(offer.parameters or 0), offer.name))


def windows_to_try(offer: Offer | None, needs: int) -> Sequence[int]:
    """The windows to ask for, the largest first: down to what the agent needs, where memory is short."""
    largest = min(LARGEST_WINDOW, (offer and offer.made_for) or LARGEST_WINDOW)
    windows = [largest]
    while windows[-1] // 2 >= needs:
        windows.append(windows[-1] // 2)
    return windows
