"""Which memory limit holds, from the files of either version of control groups."""

from pathlib import Path

import pytest

from berth_runtime.container import memory_limit, usable_memory
from tests.unit.runtime.model_files import put


@pytest.mark.parametrize(
    ("file", "content", "limit"),
    [
        ("memory.max", b"536870912\n", 536870912),
        ("memory.max", b"max\n", None),
        ("memory/memory.limit_in_bytes", b"1073741824\n", 1073741824),
    ],
)
def test_the_limit(tmp_path: Path, file: str, content: bytes, limit: int | None) -> None:
    assert memory_limit(put(tmp_path, file, content=content)) == limit


def test_without_a_limit_it_is_the_machines(tmp_path: Path) -> None:
    machine = usable_memory(tmp_path)
    assert machine > 100_000_000
    # Version 1 says "none" by a number above any machine's memory.
    assert usable_memory(put(tmp_path, "memory/memory.limit_in_bytes", content=b"9223372036854771712")) == machine
    assert usable_memory(put(tmp_path, "memory.max", content=b"1000000")) == 1_000_000
