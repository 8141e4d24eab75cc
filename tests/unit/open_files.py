"""A file system that fails for real: this process may open nothing."""

import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_more_files() -> Generator[None]:
    """Meanwhile this process may open no file, as one that has too many open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
