"""A repository of a hub as it is at one commit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """One file, and what its content must be: every file has at least one of the two hashes."""

    path: str
    """Below the repository's root, with `/`; checked to stay below it."""

    size: int
    """In bytes."""

    sha256: str | None = None
    """Of the content, in hexadecimal: for what is stored with LFS, which is nearly all that is large."""

    git_hash: str | None = None
    """Git's blob hash (SHA-1 of a header and the content), in hexadecimal: for the other files."""


@dataclass(frozen=True, slots=True)
class Repository:
    """What the hub says of a repository."""

    name: str
    """`org/name`."""

    commit: str
    """What the revision stood for when it was asked, 40 hexadecimal digits."""

    gated: bool
    """Whether its files are only for those whom its owner lets in; the list of them is for everybody."""

    private: bool
    files: tuple[RepositoryFile, ...]
