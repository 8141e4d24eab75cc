"""What is at a model's path, in the words of the launcher's errors, for models of every format."""

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from berth_runtime.errors import ModelUnreadableError

MAX_NAMES_SHOWN = 8

_SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Raises ModelUnreadableError if the operating system refuses something in its block."""
    try:
        yield
    except PermissionError as error:
        raise ModelUnreadableError(f"{error.filename}: permission denied for user {os.getuid()}") from error
    except OSError as error:
        raise ModelUnreadableError(f"{error.filename or path}: {error.strerror}") from error


def visible_names(directory: Path) -> list[str]:
    """The names in the directory, sorted, without hidden ones: a download's leftovers are hidden."""
    return sorted(entry.name for entry in directory.iterdir() if not entry.name.startswith("."))


def describe_absence(path: Path) -> str:
    """What to say of a path at which nothing is: what there is instead."""
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, which does not exist"
    parent = next(ancestor for ancestor in path.parents if ancestor.is_dir())
    names = visible_names(parent)
    return f"{path} does not exist; {parent} holds {listing(names) if names else 'nothing'}"


def listing(names: Iterable[str]) -> str:
    """`a, b, c`, and how many more when there are over `MAX_NAMES_SHOWN`."""
    known = list(names)
    shown = ", ".join(known[:MAX_NAMES_SHOWN])
    return shown if len(known) <= MAX_NAMES_SHOWN else f"{shown} and {len(known) - MAX_NAMES_SHOWN} more"


def readable_size(size_bytes: int) -> str:
    """As `berth_process.sizes.readable`, which an image without Berth's other packages does not have."""
    size, unit = float(size_bytes), 0
    while size >= 999.5 and unit < len(_SIZE_UNITS) - 1:
        size /= 1000
        unit += 1
    digits = 1 if unit >= _SIZE_UNITS.index("GB") and size < 99.95 else 0
    return f"{size:.{digits}f} {_SIZE_UNITS[unit]}"
