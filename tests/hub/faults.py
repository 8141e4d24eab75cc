"""What the hub stand-in does wrong when it is told to."""

from dataclasses import dataclass, field


@dataclass
class Fault:
    """Goes wrong in the requests that it fits, so many times."""

    path: str
    """The last part of the request's path: a file's name, or `api` for the API."""

    times: int = 1
    status: int | None = None
    """Answers with this status instead of the content."""

    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Sent with that status."""

    cut_after: int | None = None
    """Closes the connection after so many bytes of the answer."""

    stall_after: int | None = None
    """Sends nothing more after so many bytes of the answer, and keeps the connection open."""

    flip: int | None = None
    """Changes the byte at this place of the file."""

    ignore_range: bool = False
    """Sends the whole file though a part was asked for."""

    def take(self, name: str) -> bool:
        """Whether it is this request's turn; then it counts."""
        if self.times <= 0 or self.path != name:
            return False
        self.times -= 1
        return True
