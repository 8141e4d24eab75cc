"""Readable parts of object names."""

import re

SLUG_LENGTH = 40
"""Leaves room in a DNS label (63 characters) for a digest and a pod's attempt number."""


def slug(path: str) -> str:
    """The last part of a path as the beginning of an object's name: lower case, a letter first, `-` for whatever a name cannot have."""
    base = path.rstrip("/").rsplit("/", 1)[-1].lower()
    slug = re.sub(r"[^a-z0-9]+", "-", base)[:SLUG_LENGTH].strip("-")
    return slug if slug and slug[0].isalpha() else f"m-{slug}".rstrip("-")
