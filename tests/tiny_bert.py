"""A model that makes vectors, or ranks documents, in a small file: of random weights, with a letter for each token."""

from pathlib import Path
from string import ascii_lowercase

import gguf
import numpy as np

TRAINED_TOKENS = 4096
_DIMENSION, _FEED_FORWARD = 32, 64
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORD_BEGIN = "\u2581"


def words(tokens: int) -> str:
    """A text of so many tokens, with the two that the tokenizer adds."""
    return " ".join(ascii_lowercase[number % len(ascii_lowercase)] for number in range(tokens - 2))


def write_bert(path: Path, *, ranks: bool = False) -> Path:
    """A BERT of one layer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_block_count(1)
    writer.add_context_length(TRAINED_TOKENS)
    writer.add_embedding_length(_DIMENSION)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK if ranks else gguf.PoolingType.MEAN)
    _add_vocabulary(writer)
    for name, array in _tensors(ranks=ranks).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary() -> list[str]:
    return [*_SPECIAL, *(_WORD_BEGIN + letter for letter in ascii_lowercase)]


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    tokens = _vocabulary()
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_mask_token_id(4)
    writer.add_uint32("tokenizer.ggml.cls_token_id", 2)


def _tensors(*, ranks: bool) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)

    def weights(*shape: int, kind: type[np.floating] = np.float16) -> np.ndarray:
        return (random.standard_normal(shape) * 0.1).astype(kind)

    dimension, zeros = _DIMENSION, np.zeros(_DIMENSION, np.float32)
    tensors = {
        "token_embd.weight": weights(len(_vocabulary()), dimension),
        "token_types.weight": weights(2, dimension, kind=np.float32),
        "position_embd.weight": weights(TRAINED_TOKENS, dimension, kind=np.float32),
        "blk.0.ffn_up.weight": weights(_FEED_FORWARD, dimension),
        "blk.0.ffn_up.bias": np.zeros(_FEED_FORWARD, np.float32),
        "blk.0.ffn_down.weight": weights(dimension, _FEED_FORWARD),
        "blk.0.ffn_down.bias": zeros,
    }
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        tensors |= {f"blk.0.{name}.weight": weights(dimension, dimension), f"blk.0.{name}.bias": zeros}
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        tensors |= {f"{name}.weight": np.ones(dimension, np.float32), f"{name}.bias": zeros}
    if ranks:
        tensors |= {
            "cls.weight": weights(dimension, dimension, kind=np.float32),
            "cls.bias": zeros,
            "cls.output.weight": weights(1, dimension, kind=np.float32),
            "cls.output.bias": np.zeros(1, np.float32),
        }
    return tensors
