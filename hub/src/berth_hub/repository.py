"""A repository of a hub as it is at one commit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """One file, and what its content must be. Every file has at least one of the two hashes."""

    path: str
    """The path below the repository's root, with `/`. It is checked to stay below it."""

    size: int
    """In bytes."""

    sha256: str | None = None
    """The hash of the content, in hexadecimal, for files in LFS: nearly all large ones."""

    git_hash: str | None = None
    """Git's blob hash (SHA-1 of a header and the content), in hexadecimal, for all other files."""


@dataclass(frozen=True, slots=True)
class Repository:
    """What the hub says of a repository."""

    name: str
    """`org/name`."""

    commit: str
    """The commit that the revision stood for, in 40 hexadecimal digits."""

    gated: bool
    """Whether its owner decides who may read its files. Everybody may list them."""

    private: bool
    files: tuple[RepositoryFile, ...]
