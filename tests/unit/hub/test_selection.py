"""Which files are taken: a table of repositories as they are found on the hub."""

import pytest

from berth_hub.errors import PicklesOnlyError, QuantizationNotFoundError, QuantizationRequiredError, SelectionError
from berth_hub.repository import RepositoryFile
from berth_hub.selection import Selection, quantizations, select

GIB = 1 << 30
GGUF = {
    ".gitattributes": 1,
    "README.md": 1,
    "config.json": 1,
    "tokenizer.json": 1,
    "imatrix.dat": 5,
    "mmproj-model-f16.gguf": GIB,
    "Tiny-Q4_K_M.gguf": 4 * GIB,
    "Tiny-Q4_K_S.gguf": 3 * GIB,
    "Tiny-q4_k.gguf": 3 * GIB,
    "Tiny-IQ4_XS.gguf": 2 * GIB,
    "Tiny-UD-Q4_K_XL.gguf": 5 * GIB,
    "Q8_0/Tiny-Q8_0-00001-of-00002.gguf": 8 * GIB,
    "Q8_0/Tiny-Q8_0-00002-of-00002.gguf": 7 * GIB,
}
SAFETENSORS = {
    "README.md": 1,
    "config.json": 1,
    "generation_config.json": 1,
    "model-00001-of-00002.safetensors": 9,
    "model-00002-of-00002.safetensors": 9,
    "model.safetensors.index.json": 1,
    "tokenizer.model": 1,
    "tokenizer_config.json": 1,
    "merges.txt": 1,
    "chat_template.jinja": 1,
    "pytorch_model.bin": 18,
    "training_args.bin": 1,
    "onnx/model.onnx": 9,
    "modeling_tiny.py": 1,
}
PICKLES = {
    "config.json": 1,
    "pytorch_model-00001-of-00002.bin": 9,
    "pytorch_model-00002-of-00002.bin": 9,
    "training_args.bin": 1,
}
GGUF_OTHERS = ["README.md", "config.json", "tokenizer.json"]


def files(sizes: dict[str, int]) -> list[RepositoryFile]:
    return [RepositoryFile(path, size, sha256="0" * 64) for path, size in sizes.items()]


def taken(sizes: dict[str, int], selection: Selection) -> list[str]:
    return [file.path for file in select(files(sizes), selection)]


@pytest.mark.parametrize(
    ("sizes", "selection", "expected"),
    [
        (GGUF, Selection("Q4_K_M"), ["Tiny-Q4_K_M.gguf", *GGUF_OTHERS]),
        (GGUF, Selection("q4_k_m"), ["Tiny-Q4_K_M.gguf", *GGUF_OTHERS]),
        (GGUF, Selection("Q4_K_S"), ["Tiny-Q4_K_S.gguf", *GGUF_OTHERS]),
        (GGUF, Selection("Q4_K"), ["Tiny-q4_k.gguf", *GGUF_OTHERS]),
        (GGUF, Selection("UD-Q4_K_XL"), ["Tiny-UD-Q4_K_XL.gguf", *GGUF_OTHERS]),
        (
            GGUF,
            Selection("Q8_0"),
            ["Q8_0/Tiny-Q8_0-00001-of-00002.gguf", "Q8_0/Tiny-Q8_0-00002-of-00002.gguf", *GGUF_OTHERS],
        ),
        (GGUF, Selection(include=["*Q4_K_M*"]), ["Tiny-Q4_K_M.gguf"]),
        (GGUF, Selection("Q4_K_M", include=["*.gguf"]), ["Tiny-Q4_K_M.gguf"]),
        (GGUF, Selection("Q4_K_M", exclude=["tokenizer*", "README.md"]), ["Tiny-Q4_K_M.gguf", "config.json"]),
        (
            GGUF,
            Selection(include=["Q8_0/"]),
            ["Q8_0/Tiny-Q8_0-00001-of-00002.gguf", "Q8_0/Tiny-Q8_0-00002-of-00002.gguf"],
        ),
        (GGUF, Selection(include=["mmproj*"]), ["mmproj-model-f16.gguf"]),
        (SAFETENSORS, Selection(), [*SAFETENSORS][:10]),
        (SAFETENSORS, Selection(exclude=["*.jinja"]), [*SAFETENSORS][:9]),
        (SAFETENSORS, Selection(allow_pickle=True), [*SAFETENSORS][:10]),
        (SAFETENSORS, Selection(include=["*.bin", "config.json"]), ["config.json"]),
        (
            SAFETENSORS,
            Selection(include=["pytorch_model.bin", "config.json"], allow_pickle=True),
            ["config.json", "pytorch_model.bin"],
        ),
        (
            SAFETENSORS,
            Selection(include=["*.py", "*.safetensors"]),
            [path for path in SAFETENSORS if path.endswith((".py", ".safetensors"))],
        ),
        (PICKLES, Selection(allow_pickle=True), [*PICKLES][:3]),
        ({"Tiny-Q4_0.gguf": 1, "docs/README.md": 1}, Selection(), ["Tiny-Q4_0.gguf"]),
        ({"model.gguf": 1}, Selection(), ["model.gguf"]),
    ],
)
def test_what_is_taken(sizes: dict[str, int], selection: Selection, expected: list[str]) -> None:
    assert taken(sizes, selection) == sorted(expected)


@pytest.mark.parametrize(
    ("sizes", "selection", "error", "says"),
    [
        (
            GGUF,
            Selection(),
            QuantizationRequiredError,
            "IQ4_XS (2.1 GB), Q4_K (3.2 GB), Q4_K_S (3.2 GB), Q4_K_M (4.3 GB), UD-Q4_K_XL",
        ),
        (GGUF, Selection("Q5_K_M"), QuantizationNotFoundError, "no quantization Q5_K_M: it has IQ4_XS (2.1 GB)"),
        (GGUF, Selection("Q4_K_M", exclude=["*Q4_K_M*"]), QuantizationNotFoundError, "include or exclude leave it out"),
        (
            SAFETENSORS,
            Selection("Q4_K_M"),
            QuantizationNotFoundError,
            "no GGUF files that state one: leave quantization out",
        ),
        (
            PICKLES,
            Selection(),
            PicklesOnlyError,
            "choose a repository with safetensors or GGUF, or have the administrator allow pickles",
        ),
        (PICKLES, Selection(include=["*.bin"]), PicklesOnlyError, "run code when they are loaded"),
        (GGUF, Selection(include=["*.onnx"]), SelectionError, "no file of the repository fits include and exclude"),
        (
            {"README.md": 1, "model.onnx": 3},
            Selection(),
            SelectionError,
            "(safetensors or GGUF): its files end with .md, .onnx",
        ),
        ({}, Selection(), SelectionError, "it has no files"),
        (
            {"m-Q4_0-00001-of-00002.gguf": 1},
            Selection(),
            SelectionError,
            "incomplete without m-Q4_0-00002-of-00002.gguf",
        ),
        (GGUF, Selection(include=["*00001*"]), SelectionError, "incomplete without"),
    ],
)
def test_what_is_refused(sizes: dict[str, int], selection: Selection, error: type[SelectionError], says: str) -> None:
    with pytest.raises(error) as raised:
        taken(sizes, selection)
    assert says in str(raised.value)


def test_quantizations_are_whole_sets_with_sizes() -> None:
    found = {each.name: (each.size, len(each.files)) for each in quantizations(files(GGUF))}
    assert found == {
        "IQ4_XS": (2 * GIB, 1),
        "Q4_K": (3 * GIB, 1),
        "Q4_K_S": (3 * GIB, 1),
        "Q4_K_M": (4 * GIB, 1),
        "UD-Q4_K_XL": (5 * GIB, 1),
        "Q8_0": (15 * GIB, 2),
    }
