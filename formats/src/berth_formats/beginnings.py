"""What a file that should hold weights is instead, judged by its first bytes: pure."""

GGUF_MAGIC = b"GGUF"

BEGINNING_BYTES = 64
"""How much of a file is enough to tell what it is."""

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the file it points to: fetch the file itself"),
    (b"<", "is an HTML or XML page, not a model: the download got an error page"),
    (b"{", "is a JSON document, not a model: the download got an error or an index"),
    (b"PK\x03\x04", "is a ZIP archive (PyTorch weights, perhaps), not {expected}"),
    (b"tjgg", "is in GGML's format of before GGUF: convert the model again"),
    (b"lmgg", "is in GGML's format of before GGUF: convert the model again"),
    (b"\x00\x00\x00\x00", "begins with zeros: the download did not finish"),
)


def why_not_gguf(beginning: bytes) -> str | None:
    """Why a file with this beginning is not GGUF, to be read after its name. None: it may be GGUF."""
    if beginning.startswith(GGUF_MAGIC):
        return None
    meant = what_else(beginning, "GGUF")
    return meant or f"is not GGUF: it begins with {beginning[:4].hex(' ')} instead of 47 47 55 46 (GGUF)"


def what_else(beginning: bytes, expected: str) -> str | None:
    """What a file with this beginning is, if that is known. `expected`: the format that it should have."""
    if not beginning:
        return "is empty: the download did not finish"
    stripped = beginning.lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((meaning.format(expected=expected) for prefix, meaning in _OTHERS if stripped.startswith(prefix)), None)
