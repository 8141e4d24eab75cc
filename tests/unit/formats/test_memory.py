"""What models are estimated to take, beside figures that were measured."""

from dataclasses import replace

import pytest

from berth_formats.abilities import Abilities
from berth_formats.memory import MIB, context_sizes, kv_cache_bytes, llamacpp_bytes, pytorch_bytes
from berth_formats.model import AttentionShape, ModelDescription
from berth_formats.pooling import Pooling

SMOL = ModelDescription(
    format="gguf",
    architecture="llama",
    parameters=134_515_008,
    quantization="Q4_1",
    context_length=8192,
    has_chat_template=True,
    file_bytes=98_362_432,
    attention=AttentionShape(30, 576, 9, (3,) * 30, 64, 64),
    feed_forward_length=1536,
    vocabulary_size=49152,
    abilities=Abilities("chat"),
)
UNKNOWN = ModelDescription(
    format="gguf",
    architecture="mamba",
    parameters=1,
    quantization=None,
    context_length=None,
    has_chat_template=False,
    file_bytes=1000 * MIB,
    attention=None,
    feed_forward_length=None,
    vocabulary_size=None,
    abilities=Abilities("chat"),
)


def test_the_context_takes_what_llamacpp_says_it_takes() -> None:
    assert kv_cache_bytes(SMOL.attention, 16_384) == 360 * MIB  # its log: "KV buffer size = 360.00 MiB" for 16384 cells


def test_the_estimate_bounds_what_was_measured_and_is_near_it() -> None:
    """270 MiB resident with 8 contexts of 512 tokens, all of them full; 219 MiB with two of 1024."""
    assert 270 * MIB < llamacpp_bytes(SMOL, 512, 8) < 1.5 * 270 * MIB
    assert 219 * MIB < llamacpp_bytes(SMOL, 1024, 2) < 1.5 * 219 * MIB


@pytest.mark.parametrize(
    ("context", "layers", "embedding", "feed_forward", "file_mib", "measured_mib"),
    [
        (2048, 4, 384, 1536, 48, 364),
        (8192, 4, 384, 1536, 48, 1258),
        (2048, 12, 768, 3072, 231, 577),
    ],
)
def test_a_model_that_reads_whole_inputs_takes_memory_for_all_their_tokens(
    context: int, layers: int, embedding: int, feed_forward: int, file_mib: int, measured_mib: int
) -> None:
    """Resident after an input that fills the context; BERTs of random weights in F16, with 30,000 tokens."""
    bert = replace(
        SMOL,
        architecture="bert",
        file_bytes=file_mib * MIB,
        attention=AttentionShape(layers, embedding, 12, (12,) * layers, embedding // 12, embedding // 12),
        feed_forward_length=feed_forward,
        vocabulary_size=30_000,
        abilities=Abilities("embedding"),
        pooling=Pooling.MEAN,
    )
    assert measured_mib * MIB < llamacpp_bytes(bert, context, 2) < 1.5 * measured_mib * MIB
    assert llamacpp_bytes(bert, 8192, 2) == llamacpp_bytes(bert, 65_536, 2), "it was made for 8192"


def test_a_header_that_tells_little_still_gives_its_weights() -> None:
    assert llamacpp_bytes(UNKNOWN, 2048, 8) > UNKNOWN.file_bytes
    assert kv_cache_bytes(UNKNOWN.attention, 2048) == 0


@pytest.mark.parametrize(
    ("trained", "sizes"),
    [
        (131_072, (32_768, 16_384, 8192, 4096, 2048)),
        (40_960, (32_768, 16_384, 8192, 4096, 2048)),
        (8192, (8192, 4096, 2048)),
        (3000, (2048,)),
        (512, (512,)),
        (None, (2048,)),
    ],
)
def test_a_context_that_nobody_states_is_a_power_of_two_that_the_model_was_made_for(
    trained: int | None, sizes: tuple[int, ...]
) -> None:
    assert context_sizes(replace(SMOL, context_length=trained)) == sizes


def test_without_a_known_shape_there_is_no_more_than_the_least() -> None:
    assert context_sizes(replace(UNKNOWN, context_length=131_072)) == (2048,)


def test_pytorch_takes_more_than_the_weights_and_its_cache() -> None:
    assert pytorch_bytes(SMOL, 256 * MIB) > SMOL.file_bytes + 256 * MIB
