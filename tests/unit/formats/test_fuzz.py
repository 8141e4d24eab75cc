"""The readers of headers against the libraries that define the formats, and against files that mean harm.

What has once been found, and what is hostile in a way of its own, is kept in corpus/: files whose names begin with
`read` are models' headers, those that begin with `refused` are not.
"""

import json
import os
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors
from gguf.constants import GGML_QUANT_SIZES, LlamaFileType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from berth_formats.errors import FormatError
from berth_formats.gguf import GgufHeader, OmittedValue, read_gguf
from berth_formats.gguf_types import FILE_TYPES, TENSOR_TYPES
from berth_formats.safetensors import SafetensorsHeader, read_safetensors
from tests.unit.examples import examples
from tests.unit.formats.weights import write_gguf

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())

deserialize: Any = safetensors.deserialize  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] (it has no types)

fuzzed = settings(
    max_examples=examples(200), deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

KEYS = st.from_regex(r"[a-z]{1,8}\.[a-z_]{1,12}", fullmatch=True)
SCALARS = (
    st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.text(max_size=50)
    | st.floats(width=32, allow_nan=False, allow_infinity=False)
    | st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=20)
    | st.lists(st.text(max_size=10), min_size=1, max_size=20)
)
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
TENSORS = st.dictionaries(
    st.from_regex(r"[a-z]{1,20}(\.[0-9]{1,3})?", fullmatch=True),
    st.tuples(SHAPES, st.sampled_from([np.float32, np.float16, np.int8, np.int32, np.float64])),
    min_size=1,
    max_size=8,
)


READ = """
import resource, sys, time
from pathlib import Path
from berth_formats.errors import FormatError
from berth_formats.gguf import read_gguf
from berth_formats.safetensors import read_safetensors

path = Path(sys.argv[1])
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    (read_gguf if path.suffix == ".gguf" else read_safetensors)(path)
except FormatError as error:
    assert path.name in str(error)
print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def cost_of_reading(path: Path) -> tuple[float, float]:
    """Seconds of a processor and mebibytes that a process of its own took to read or refuse the file."""
    done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True, timeout=120)
    seconds, kibibytes = done.stdout.split()
    return float(seconds), float(kibibytes) / 1024


def read(path: Path) -> GgufHeader | SafetensorsHeader:
    return read_safetensors(path) if path.suffix == ".safetensors" else read_gguf(path)


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
def test_the_corpus_is_read_or_refused(file: Path) -> None:
    if file.name.startswith("read"):
        assert read(file).parameters
    else:
        with pytest.raises(FormatError, match=file.name) as refusal:
            read(file)
        assert len(str(refusal.value)) < 500


@fuzzed
@given(metadata=st.dictionaries(KEYS, SCALARS, max_size=10), tensors=TENSORS)
def test_what_the_gguf_library_writes_is_read_as_it_reads_it(
    tmp_path: Path, metadata: dict[str, Any], tensors: dict[str, Any]
) -> None:
    path = tmp_path / "model.gguf"
    write_with_library(path, metadata, tensors)
    ours, theirs = read_gguf(path), gguf.GGUFReader(path)
    assert ours.tensors == len(theirs.tensors)
    assert ours.parameters == sum(int(tensor.n_elements) for tensor in theirs.tensors)
    assert ours.tensor_bytes == sum(int(tensor.n_bytes) for tensor in theirs.tensors)
    assert ours.metadata.keys() == {name for name in theirs.fields if not name.startswith("GGUF.")}
    for name, value in ours.metadata.items():
        expected: Any = theirs.fields[name].contents()
        if isinstance(value, OmittedValue):
            assert value.length == len(expected)
        else:
            assert (list(value) if isinstance(value, tuple) else value) == expected


def write_with_library(path: Path, metadata: dict[str, Any], tensors: dict[str, Any]) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in metadata.items():
        add: Any = {
            bool: writer.add_bool,
            int: writer.add_int32,
            str: writer.add_string,
            float: writer.add_float32,
            list: writer.add_array,
        }
        add[type(value)](key, value)
    for name, (shape, kind) in tensors.items():
        writer.add_tensor(name, np.zeros(shape, dtype=kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@fuzzed
@given(tensors=TENSORS, metadata=st.none() | st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=5))
def test_what_the_safetensors_library_writes_is_read_as_it_reads_it(
    tmp_path: Path, tensors: dict[str, Any], metadata: dict[str, str] | None
) -> None:
    content = save({name: np.zeros(shape, dtype=kind) for name, (shape, kind) in tensors.items()}, metadata)
    assert agrees_with_the_library(tmp_path, content)


def agrees_with_the_library(folder: Path, content: bytes) -> bool:
    """Whether both take it; asserts that both do or neither does, and that they find the same."""
    path = folder / "model.safetensors"
    path.write_bytes(content)
    try:
        theirs: list[dict[str, Any]] = [entry for _, entry in deserialize(content)]
    except safetensors.SafetensorError:
        with pytest.raises(FormatError):
            read_safetensors(path)
        return False
    ours = read_safetensors(path)
    assert ours.tensors == len(theirs)
    assert ours.parameters == sum(int(np.prod(entry["shape"], dtype=object)) for entry in theirs)
    assert ours.tensor_bytes == sum(len(entry["data"]) for entry in theirs)
    return True


NUMBERS = st.sampled_from([0, 1, 2, 8, 255, 2**16, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, 1500),
        st.binary(max_size=4) | NUMBERS.map(lambda number: struct.pack("<Q", number)),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def mutated(content: bytes, mutations: list[tuple[int, bytes, bool]]) -> bytes:
    """The content with bytes overwritten or, where the last is true, put in between."""
    for at, inserted, between in mutations:
        start = at % (len(content) + 1)
        content = content[:start] + inserted + content[start if between else start + len(inserted) :]
    return content


@fuzzed
@given(mutations=MUTATIONS, length=st.integers(0, 60_000))
def test_a_damaged_gguf_file_is_read_or_refused(
    tmp_path: Path, mutations: list[tuple[int, bytes, bool]], length: int
) -> None:
    path = tmp_path / "model.gguf"
    if not (original := tmp_path / "original.gguf").exists():
        write_gguf(original, tokens=10)
    path.write_bytes(mutated(original.read_bytes(), mutations)[: max(length, 100)])
    with suppress(FormatError):
        assert read_gguf(path).tensors <= 2**17


@fuzzed
@given(mutations=MUTATIONS, length=st.integers(0, 2000))
def test_a_damaged_safetensors_file_is_read_or_refused_as_the_library_does(
    tmp_path: Path, mutations: list[tuple[int, bytes, bool]], length: int
) -> None:
    content = save({"a": np.zeros((2, 3), dtype=np.float32), "b": np.zeros(5, dtype=np.float16)}, {"format": "pt"})
    agrees_with_the_library(tmp_path, mutated(content, mutations)[: max(length, 20)])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 40)
    | st.sampled_from(["F32", "U8", "BF16", "x"])
    | st.lists(st.integers(0, 8), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@fuzzed
@given(
    header=st.dictionaries(st.sampled_from(["a", "b", "__metadata__", "\u20ac"]), JSON, max_size=3),
    stored=st.integers(0, 40),
)
def test_any_json_as_a_header_is_read_or_refused_as_the_library_does(
    tmp_path: Path, header: dict[str, Any], stored: int
) -> None:
    text = json.dumps(header).encode()
    agrees_with_the_library(tmp_path, struct.pack("<Q", len(text)) + text + bytes(stored))


@fuzzed
@given(content=st.binary(max_size=300))
def test_bytes_of_any_kind_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    for name, beginning in (
        ("model.gguf", b"GGUF\3\0\0\0"),
        ("model.safetensors", struct.pack("<Q", len(content)) + b"{"),
    ):
        for whole in (content, beginning + content):
            (tmp_path / name).write_bytes(whole)
            with suppress(FormatError):
                read(tmp_path / name)


def sparse(path: Path, beginning: bytes, size: int) -> Path:
    path.write_bytes(beginning)
    os.truncate(path, size)
    return path


def gguf_preamble(tensors: int, metadata: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, metadata)


def gguf_key(name: str, kind: int) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", kind)


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(gguf_preamble(2**64 - 1, 0), id="as many tensors as can be said"),
        pytest.param(gguf_preamble(100_000, 0), id="tensors of nothing"),
        pytest.param(gguf_preamble(1, 2**64 - 1), id="as many metadata as can be said"),
        pytest.param(gguf_preamble(1, 4096), id="metadata of nothing"),
        pytest.param(
            gguf_preamble(1, 1) + gguf_key("a", 9) + struct.pack("<IQ", 8, 2**64 - 1), id="strings without number"
        ),
        pytest.param(
            gguf_preamble(1, 1) + gguf_key("a", 9) + struct.pack("<IQ", 8, 4_000_000), id="as many strings as are taken"
        ),
        pytest.param(gguf_preamble(1, 1) + gguf_key("a", 9) + struct.pack("<IQ", 0, 2**63), id="a long array"),
        pytest.param(gguf_preamble(1, 1) + gguf_key("a", 9) + struct.pack("<IQ", 9, 2**63), id="an array of arrays"),
        pytest.param(gguf_preamble(1, 1) + gguf_key("a", 8) + struct.pack("<Q", 2**63), id="a long string"),
        pytest.param(gguf_preamble(1, 1) + struct.pack("<Q", 2**40), id="a long key"),
    ],
)
def test_a_vast_gguf_file_costs_little(tmp_path: Path, beginning: bytes) -> None:
    path = sparse(tmp_path / "model.gguf", beginning, 1 << 42)
    seconds, mebibytes = cost_of_reading(path)
    assert seconds < 2
    assert mebibytes < 32


def safetensors_header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


ROOM = 16 << 20


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"a":' + b"[" * (ROOM - 5), id="arrays in arrays"),
        pytest.param(b'{"a":' + b'{"a":' * (ROOM // 5 - 1), id="objects in objects"),
        pytest.param(b'{"a":[' + b"[]," * (ROOM // 3 - 2), id="small arrays"),
        pytest.param(b'{"a":{"shape":[' + b"0," * (ROOM // 2 - 8), id="dimensions without end"),
        pytest.param(b'{"__metadata__":{' + b'"":"",' * (ROOM // 6 - 3), id="metadata without end"),
        pytest.param(b"{" + b" " * (ROOM - 1), id="space"),
        pytest.param(b'{"' + b"x" * (ROOM - 2), id="a name without end"),
        pytest.param(b'{"' + "\U0001f40b".encode() * ((ROOM - 2) // 4), id="a name of wide characters"),
        pytest.param(
            b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % n for n in range(250_000)),
            id="tensors without end",
        ),
    ],
)
def test_a_vast_safetensors_header_costs_little(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_header(text[:ROOM]))
    seconds, mebibytes = cost_of_reading(path)
    assert seconds < 2
    assert mebibytes < 128


def test_a_header_that_claims_more_than_is_there_is_not_waited_for(tmp_path: Path) -> None:
    path = sparse(tmp_path / "model.safetensors", struct.pack("<Q", 2**62) + b"{", 1 << 42)
    seconds, mebibytes = cost_of_reading(path)
    assert seconds < 0.1
    assert mebibytes < 16


def test_the_types_are_those_of_the_library() -> None:
    known = {kind.value: (kind.name, *sizes) for kind, sizes in GGML_QUANT_SIZES.items()}
    assert {code: tuple(kind) for code, kind in TENSOR_TYPES.items()} == known
    names = {
        kind.value: kind.name.removeprefix("ALL_").removeprefix("MOSTLY_")
        for kind in LlamaFileType
        if kind.name != "GUESSED"
    }
    assert names == FILE_TYPES
