"""The header of a GGUF file: its metadata, and what its tensors add up to.

The format is described in ggml's docs/gguf.md. The limits are those of llama.cpp, or else
well beyond what models have. Of long values (a vocabulary) only the length is kept, except of a chat template.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from berth_formats.beginnings import BEGINNING_BYTES, GGUF_MAGIC, why_not_gguf
from berth_formats.errors import FormatError
from berth_formats.gguf_types import TENSOR_TYPES
from berth_formats.stream import HeaderStream, header_of

CHAT_TEMPLATE = "tokenizer.chat_template"
_VOCABULARY = "tokenizer."
TOOL_TEMPLATE = "tokenizer.chat_template.tool_use"
"""A second template, for requests with tools."""

_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32

_MAX_METADATA = 4096
_MAX_KEY_BYTES = 1024
_MAX_STRING_BYTES = 4096
_MAX_TEMPLATE_BYTES = 1024 * 1024
"""Of a chat template that is kept. The longest have some tens of thousands."""
_MAX_ARRAY_KEPT = 1024
_MAX_STRINGS = 4_000_000
"""Strings in all arrays of one file: the largest vocabularies, with their merges, have one million."""
_MAX_TENSORS = 100_000
_MAX_DIMENSIONS = 4
_MAX_ELEMENTS = 2**63 - 1

_STRING, _ARRAY = 8, 9
_SCALARS = {
    code: Struct(f"<{letter}")
    for code, letter in {
        0: "B",
        1: "b",
        2: "H",
        3: "h",
        4: "I",
        5: "i",
        6: "f",
        7: "?",
        10: "Q",
        11: "q",
        12: "d",
    }.items()
}


@dataclass(frozen=True, slots=True)
class OmittedValue:
    """A value that is too long to keep: its length, in bytes of a string or elements of an array."""

    length: int


Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...] | OmittedValue


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself."""

    metadata: Mapping[str, Value]
    tensors: int
    parameters: int
    """Elements of all tensors."""
    tensor_bytes: int
    """What all tensors occupy; those of a type that is not known are not in it."""
    elements_by_type: Mapping[str, int]
    """Elements of the tensors of each type (Q4_K, F16, ...)."""

    def number(self, key: str) -> int | None:
        """The whole number under the key, if there is one."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def numbers(self, key: str) -> tuple[int, ...] | None:
        """The array of whole numbers under the key, if there is one."""
        value = self.metadata.get(key)
        if not isinstance(value, tuple):
            return None
        numbers = tuple(item for item in value if isinstance(item, int))
        return numbers if len(numbers) == len(value) else None

    def text(self, key: str) -> str | None:
        """The string under the key, if there is one that is not long."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    @property
    def has_chat_template(self) -> bool:
        """Whether the model brings a chat template."""
        value = self.metadata.get(CHAT_TEMPLATE)
        return value.length > 0 if isinstance(value, OmittedValue) else isinstance(value, str) and bool(value)


def read_gguf(path: Path, name: str | None = None) -> GgufHeader:
    """The file's header, in bounded time and memory; `name` is what errors call the file.

    Raises FormatError if it is not GGUF, is damaged, or ends before its tensors do.
    """
    with header_of(path, name) as stream:
        tensor_count, metadata_count = _preamble(stream)
        metadata = _metadata(stream, metadata_count)
        return _with_tensors(stream, metadata, tensor_count)


def read_opening(path: Path) -> GgufHeader:
    """The metadata before the vocabulary, as converters write them; nothing of the tensors.

    It is read in a hundredth of the time that a whole header takes. Raises FormatError as `read_gguf` does.
    """
    with header_of(path) as stream:
        _, metadata_count = _preamble(stream)
        metadata = _metadata(stream, metadata_count, until=_VOCABULARY)
    return GgufHeader(metadata, 0, 0, 0, {})


def read_chat_template(path: Path) -> str | None:
    """The file's chat template; None where there is none, or one of more than a megabyte.

    Raises FormatError as `read_gguf` does.
    """
    with header_of(path) as stream:
        _, metadata_count = _preamble(stream)
        value = _metadata(stream, metadata_count).get(CHAT_TEMPLATE)
    return value if isinstance(value, str) else None


def _preamble(stream: HeaderStream) -> tuple[int, int]:
    """How many tensors and how many metadata there are."""
    wrong = why_not_gguf(stream.peek(BEGINNING_BYTES))
    if wrong:
        raise FormatError(f"{stream.name} {wrong}")
    stream.skip(len(GGUF_MAGIC))
    version = stream.u32()
    if version not in _VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
        meaning = (
            "is big-endian GGUF" if swapped else f"is GGUF of version {version}, not {' or '.join(map(str, _VERSIONS))}"
        )
        raise FormatError(f"{stream.name} {meaning}: convert the model again")
    tensors, metadata = stream.u64(), stream.u64()
    if tensors > _MAX_TENSORS:
        raise FormatError(f"{stream.name} claims {tensors} tensors, more than {_MAX_TENSORS}: it is damaged")
    if metadata > _MAX_METADATA:
        raise FormatError(f"{stream.name} claims {metadata} metadata, more than {_MAX_METADATA}: it is damaged")
    return tensors, metadata


def _metadata(stream: HeaderStream, count: int, until: str | None = None) -> dict[str, Value]:
    """`until`: the beginning of the first key that is not read any more."""
    metadata: dict[str, Value] = {}
    strings_left = _MAX_STRINGS
    for _ in range(count):
        key = _name(stream, _MAX_KEY_BYTES, "metadata key")
        if until and key.startswith(until):
            break
        kind = stream.u32()
        if kind == _ARRAY:
            value, strings = _array(stream, key, strings_left)
            strings_left -= strings
        elif kind == _STRING:
            value = _string(stream, _MAX_TEMPLATE_BYTES if key == CHAT_TEMPLATE else _MAX_STRING_BYTES)
        else:
            value = _scalar(stream, key, kind)
        if key in metadata:
            raise FormatError(f"{stream.name} has the metadata {key} twice: it is damaged")
        metadata[key] = value
    return metadata


def _array(stream: HeaderStream, key: str, strings_left: int) -> tuple[Value, int]:
    """The array, and how many strings of it were passed."""
    kind, length = stream.u32(), stream.u64()
    if kind == _STRING:
        if length > strings_left:
            raise FormatError(f"{stream.name} claims {length} strings in {key}: it is damaged")
        stream.skip_strings(length)
        return OmittedValue(length), length
    form = _SCALARS.get(kind)
    if form is None:
        raise FormatError(f"{stream.name} has an array of type {kind} in {key}, which llama.cpp does not read")
    if length > _MAX_ARRAY_KEPT:
        stream.skip(length * form.size)
        return OmittedValue(length), 0
    return tuple(value for (value,) in form.iter_unpack(stream.take(length * form.size))), 0


def _scalar(stream: HeaderStream, key: str, kind: int) -> Scalar:
    form = _SCALARS.get(kind)
    if form is None:
        raise FormatError(f"{stream.name} has a value of unknown type {kind} in {key}: it is damaged")
    return form.unpack(stream.take(form.size))[0]


def _string(stream: HeaderStream, limit: int) -> str | OmittedValue:
    length = stream.u64()
    if length > limit:
        stream.skip(length)
        return OmittedValue(length)
    return stream.take(length).decode(errors="replace")


def _name(stream: HeaderStream, limit: int, what: str) -> str:
    length = stream.u64()
    if length > limit:
        raise FormatError(f"{stream.name} has a {what} of {length} bytes: it is damaged")
    return stream.take(length).decode(errors="replace")


def _with_tensors(stream: HeaderStream, metadata: Mapping[str, Value], count: int) -> GgufHeader:
    elements_by_type: dict[str, int] = {}
    data_end = tensor_bytes = 0
    for _ in range(count):
        stream.skip(stream.u64())  # the name
        dimensions = stream.u32()
        if dimensions > _MAX_DIMENSIONS:
            raise FormatError(
                f"{stream.name} has a tensor of {dimensions} dimensions, more than {_MAX_DIMENSIONS}: it is damaged"
            )
        elements = 1
        for _ in range(dimensions):
            elements *= stream.u64()
        if elements > _MAX_ELEMENTS:
            raise FormatError(f"{stream.name} has a tensor of {elements} elements: it is damaged")
        code, offset = stream.u32(), stream.u64()
        kind = TENSOR_TYPES.get(code)
        size = elements // kind.block_elements * kind.block_bytes if kind else 0
        tensor_bytes += size
        data_end = max(data_end, offset + size)
        name = kind.name if kind else f"type {code}"
        elements_by_type[name] = elements_by_type.get(name, 0) + elements
    alignment = _alignment(stream, metadata)
    expected = -(-stream.position // alignment) * alignment + data_end
    if count and expected > stream.size:
        raise FormatError(f"{stream.name} has {stream.size} of {expected} bytes: the download did not finish")
    return GgufHeader(metadata, count, sum(elements_by_type.values()), tensor_bytes, elements_by_type)


def _alignment(stream: HeaderStream, metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(value, int) or value <= 0 or value & (value - 1):
        raise FormatError(f"{stream.name} has the alignment {value}, which is no power of two: it is damaged")
    return value
