"""Model directories as a store holds them, made of files that have only what the launcher looks at."""

from pathlib import Path

GGUF_BYTES = b"GGUF\x03\x00\x00\x00" + bytes(1000)


def put(directory: Path, *names: str, content: bytes = GGUF_BYTES) -> Path:
    """Makes the files `names` (which may lie in sub-directories) and returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return directory
