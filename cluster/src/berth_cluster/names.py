"""Names of objects: which are possible, and how Berth makes readable ones."""

import re
from collections.abc import Mapping

SLUG_LENGTH = 40
"""A DNS label (63 characters) has room for a digest and an attempt's number after it."""

_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"

OBJECT_NAME_LENGTH = 253
OBJECT_NAME_PATTERN = rf"^{_DNS_LABEL}(\.{_DNS_LABEL})*$"
"""A DNS subdomain, as Kubernetes wants it for every kind that Berth reads or writes."""

NAMESPACE_LENGTH = 63
NAMESPACE_PATTERN = rf"^{_DNS_LABEL}$"

_LABEL_LENGTH = 63
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def slug(path: str) -> str:
    """The last part of a path, as the beginning of an object's name: lower case, a letter first, `-` for the rest."""
    base = path.rstrip("/").rsplit("/", 1)[-1].lower()
    slug = re.sub(r"[^a-z0-9]+", "-", base)[:SLUG_LENGTH].strip("-")
    return slug if slug and slug[0].isalpha() else f"m-{slug}".rstrip("-")


def is_object_name(text: str) -> bool:
    """Whether an object can have this name."""
    return len(text) <= OBJECT_NAME_LENGTH and re.fullmatch(OBJECT_NAME_PATTERN, text) is not None


def is_namespace_name(text: str) -> bool:
    """Whether a namespace can have this name."""
    return len(text) <= NAMESPACE_LENGTH and re.fullmatch(NAMESPACE_PATTERN, text) is not None


def impossible_label(labels: Mapping[str, str]) -> str | None:
    """The first label, as `key=value`, that no object can have; None where all are possible."""
    return next(
        (f"{key}={value}" for key, value in labels.items() if not (_is_label_key(key) and _is_label_value(value))),
        None,
    )


def _is_label_key(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    return bool(name) and _is_label_value(name) and (is_object_name(prefix) if slash else True)


def _is_label_value(text: str) -> bool:
    return not text or (len(text) <= _LABEL_LENGTH and _LABEL_NAME.fullmatch(text) is not None)
