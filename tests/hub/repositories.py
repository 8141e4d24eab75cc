"""Repositories of the hub stand-in: files with the hashes that the hub states of them, at commits."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LFS_FROM = 4096
"""Files of at least so many bytes are stored with LFS."""


@dataclass(frozen=True)
class HostedFile:
    """One file's content, in memory or on this machine's disk."""

    content: bytes | Path
    size: int
    git_hash: str
    """Of the content; for a file in LFS the real hub states that of its pointer, which nobody needs."""

    sha256: str
    lfs: bool

    @classmethod
    def of(cls, content: bytes | Path) -> "HostedFile":
        """With hashes of its content."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        git_hash, sha256 = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), hashlib.sha256()
        if isinstance(content, bytes):
            git_hash.update(content)
            sha256.update(content)
        else:
            with content.open("rb") as file:
                while piece := file.read(1 << 20):
                    git_hash.update(piece)
                    sha256.update(piece)
        return cls(content, size, git_hash.hexdigest(), sha256.hexdigest(), size >= LFS_FROM)

    @property
    def etag(self) -> str:
        """What the hub calls this content."""
        return self.sha256 if self.lfs else self.git_hash

    def sibling(self, path: str) -> dict[str, Any]:
        """As the hub lists it."""
        lfs = {"lfs": {"sha256": self.sha256, "size": self.size, "pointerSize": 134}} if self.lfs else {}
        return {"rfilename": path, "size": self.size, "blobId": self.git_hash, **lfs}

    def entry(self, path: str) -> dict[str, Any]:
        """As the hub lists it in a tree."""
        lfs = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 134}} if self.lfs else {}
        return {"type": "file", "path": path, "size": self.size, "oid": self.git_hash, **lfs}


@dataclass
class HostedRepository:
    """A repository: commits that stay, and branches that move."""

    name: str
    gated: bool = False
    private: bool = False
    commits: dict[str, dict[str, HostedFile]] = field(default_factory=dict[str, dict[str, HostedFile]])
    branches: dict[str, str] = field(default_factory=dict[str, str])

    def commit(self, files: Mapping[str, bytes | Path], branch: str = "main") -> str:
        """Makes a commit of exactly these files and moves the branch to it; gives its hash."""
        hosted = {path: HostedFile.of(content) for path, content in files.items()}
        text = repr((self.name, len(self.commits), sorted((path, file.git_hash) for path, file in hosted.items())))
        commit = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.commits[commit] = hosted
        self.branches[branch] = commit
        return commit

    def forget(self, commit: str) -> None:
        """Rewrites history: the commit is gone."""
        del self.commits[commit]

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch or a commit's hash stands for."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None
