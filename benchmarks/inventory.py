"""How long the inventory of a large store takes: `python -m benchmarks.inventory [--models 1000] [--files 20]`.

Makes a store of models in both formats, serves a router over it on loopback, and asks for GET /v1/models/inventory:

- first answer: by a router that has just started and knows nothing; and the processor's time for it, which other work
  on the machine does not change (half a second of it is for reading headers);
- every header read: when no model is `pending` any more, from the first request on, asking again and again;
- later answers: where nothing has changed;
- after a model appeared: the first answer after a rename put one more in its place, which must have it.

GGUF headers are those of a model with a vocabulary of --tokens (SmolLM2 has 49,152), with as many merges; the
safetensors models have eight shards. Equal files are links to one, and weights are holes: what is read, headers and
directories, is as large as in a real store. The files have just been written, so that they are in the page cache. Last
line, JSON: milliseconds.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from berth_local.node.cluster import LocalCluster
from berth_router.app import Router
from berth_router.settings import Settings

_SHARDS = 8
_TENSORS_OF_SHARD = 40
_PATH = "/v1/models/inventory"


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--files", type=int, default=20, help="of each model")
    parser.add_argument("--tokens", type=int, default=49_152, help="in the vocabulary of a GGUF model")
    parser.add_argument("--answers", type=int, default=20, help="later answers to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="berth-inventory-") as folder:
        store = Path(folder) / "models"
        make_store(store, options.models, options.files, options.tokens)
        measured = asyncio.run(measure(store, options.answers))
    print(
        f"\n{options.models} models of {options.files} files, {options.tokens} tokens in a vocabulary, "
        f"{os.cpu_count()} cores"
    )
    for name, value in measured.items():
        print(f"{name.replace('_', ' '):40}{value:12.1f}")
    print(json.dumps({"models": options.models, "files": options.files, **measured}))


def make_store(store: Path, models: int, files: int, tokens: int) -> None:
    """A store. Every second model is GGUF, the others are safetensors."""
    originals = store.parent / "originals"
    originals.mkdir()
    write_gguf(originals / "model.gguf", tokens)
    write_shards(originals)
    for number in range(models):
        make_model(store / f"model-{number:04d}", originals, files, gguf=number % 2 == 0)


def make_model(model: Path, originals: Path, files: int, *, gguf: bool) -> None:
    """Writes one model with so many files."""
    model.mkdir(parents=True)
    names = ["model.gguf"] if gguf else [path.name for path in sorted(originals.glob("model*safetensors*"))]
    for name in names:
        (model / name).hardlink_to(originals / name)
    (model / "config.json").write_text(
        json.dumps({"model_type": "llama", "max_position_embeddings": 8192, "num_hidden_layers": 30})
    )
    (model / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": "{{ messages }}", "added": ["<special>"] * 500})
    )
    for number in range(files - len(names) - 2):
        (model / f"extra-{number}.txt").write_text("x")


def write_gguf(path: Path, tokens: int) -> None:
    """A header like that of a small llama: 24 metadata, a vocabulary with merges, 270 tensors."""
    numbers = {f"llama.number_{index}": index for index in range(18)} | {
        "llama.context_length": 8192,
        "llama.block_count": 30,
    }
    metadata = [_string("general.architecture") + struct.pack("<I", 8) + _string("llama")]
    metadata += [_string(key) + struct.pack("<II", 4, value) for key, value in numbers.items()]
    metadata.append(_string("tokenizer.ggml.tokens") + _strings([f"token{index}" for index in range(tokens)]))
    metadata.append(_string("tokenizer.ggml.merges") + _strings([f"left{index} right" for index in range(tokens)]))
    metadata.append(_string("tokenizer.chat_template") + struct.pack("<I", 8) + _string("{{ messages }}" * 100))
    tensors = [
        _string(f"blk.{index}.weight") + struct.pack("<IQQIQ", 2, 576, 576, 1, index * 576 * 576 * 2)
        for index in range(270)
    ]
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + b"".join(metadata) + b"".join(tensors)
    path.write_bytes(header)
    os.truncate(path, len(header) + 32 + 270 * 576 * 576 * 2)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _strings(texts: list[str]) -> bytes:
    return struct.pack("<IIQ", 9, 8, len(texts)) + b"".join(map(_string, texts))


def write_shards(folder: Path) -> None:
    """Shards of safetensors, and their index."""
    weight_map: dict[str, str] = {}
    for shard in range(1, _SHARDS + 1):
        name = f"model-{shard:05d}-of-{_SHARDS:05d}.safetensors"
        size = 576 * 576 * 2
        tensors = {
            f"model.layers.{shard}.part.{index}.weight": {
                "dtype": "BF16",
                "shape": [576, 576],
                "data_offsets": [index * size, (index + 1) * size],
            }
            for index in range(_TENSORS_OF_SHARD)
        }
        weight_map |= dict.fromkeys(tensors, name)
        text = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
        (folder / name).write_bytes(struct.pack("<Q", len(text)) + text)
        os.truncate(folder / name, 8 + len(text) + _TENSORS_OF_SHARD * size)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


async def measure(store: Path, answers: int) -> dict[str, float]:
    """The milliseconds of each step."""
    async with routed(store) as client:
        began, cpu_began = time.perf_counter(), time.process_time()
        first = await ask(client)
        first_ms, first_cpu_ms = since(began), round((time.process_time() - cpu_began) * 1000, 1)
        pending = [count_pending(first)]
        while pending[-1]:
            await asyncio.sleep(0.1)
            pending.append(count_pending(await ask(client)))
        every_header_ms = since(began)
        later = [await timed(client) for _ in range(answers)]
        aside = store.parent / "aside"
        make_model(aside, store.parent / "originals", 20, gguf=True)
        aside.rename(store / "appeared")
        began = time.perf_counter()
        found = await ask(client)
        appeared_ms = since(began)
        [appeared] = [model for model in found["models"] if model["name"] == "appeared"]
        assert appeared["architecture"] == "llama"
    return {
        "first_answer_ms": first_ms,
        "first_answer_cpu_ms": first_cpu_ms,
        "pending_in_first_answer": pending[0],
        "every_header_read_ms": every_header_ms,
        "later_answer_p50_ms": round(statistics.median(later), 1),
        "later_answer_max_ms": max(later),
        "after_a_model_appeared_ms": appeared_ms,
    }


@asynccontextmanager
async def routed(store: Path) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of a router that has just started."""
    settings = Settings.model_validate({"model_store": str(store), "replica": "benchmark"})
    router = Router(LocalCluster(), settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with router.serving(listener), httpx2.AsyncClient(base_url=address, timeout=60) as client:
            yield client


async def ask(client: httpx2.AsyncClient) -> dict[str, Any]:
    """The inventory."""
    answer = await client.get(_PATH)
    answer.raise_for_status()
    return answer.json()


async def timed(client: httpx2.AsyncClient) -> float:
    """The milliseconds that an answer takes."""
    began = time.perf_counter()
    await client.get(_PATH)
    return since(began)


def since(began: float) -> float:
    """Milliseconds."""
    return round((time.perf_counter() - began) * 1000, 1)


def count_pending(inventory: dict[str, Any]) -> int:
    """How many models have not been read yet. All others must be intact."""
    models = inventory["models"]
    assert not [model for model in models if model["broken"]], next(
        model["broken"] for model in models if model["broken"]
    )
    return sum(model["headers"] == "pending" for model in models)


if __name__ == "__main__":
    main()
