"""Small files of weights, written by the libraries that define the formats."""

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "max_position_embeddings": 2048,
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 300,
}


def write_gguf(
    path: Path,
    *,
    template: str | None = TEMPLATE,
    file_type: int | None = 1,
    tokens: int = 300,
    context: int = 2048,
    window: int | None = None,
    licence: str | None = None,
) -> Path:
    """A llama of two layers with 300 tokens: one tensor of 64 by 300 in F16, one of 64 in F32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    if licence is not None:
        writer.add_license(licence)
    if window is not None:
        writer.add_sliding_window(window)
    if file_type is not None:
        writer.add_file_type(file_type)
    writer.add_token_list([f"token-{number}" for number in range(tokens)])
    writer.add_token_scores([0.5] * tokens)
    if template is not None:
        writer.add_chat_template(template)
    writer.add_tensor("token_embd.weight", np.zeros((300, 64), dtype=np.float16))
    writer.add_tensor("output_norm.weight", np.zeros(64, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_checkpoint(directory: Path, *, template: str | None = TEMPLATE, shards: int = 1, **config: Any) -> Path:
    """A model in Hugging Face's format; each shard has 64 by 10 numbers in F16 and ten in F32.

    `config` changes config.json.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(CONFIG | config))
    (directory / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>", "chat_template": template}))
    weight_map: dict[str, str] = {}
    for shard in range(1, shards + 1):
        name = f"model-{shard:05d}-of-{shards:05d}.safetensors" if shards > 1 else "model.safetensors"
        tensors = {
            f"layer.{shard}.weight": np.zeros((64, 10), dtype=np.float16),
            f"layer.{shard}.norm": np.zeros(10, dtype=np.float32),
        }
        save_file(tensors, directory / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    if shards > 1:
        (directory / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return directory
