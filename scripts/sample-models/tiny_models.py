"""`tiny_models.py TOKENIZER_FROM TO` makes tiny models with scaled positions, as Qwen3 and Phi-3 have them.

Runs in the transformers image. TO gets a directory for each way in which a `config.json` may scale positions.
"""

# What it imports is in that image only.
# pyright: basic, reportMissingImports=false

import json
import sys
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, Phi3Config, Phi3ForCausalLM, Qwen3Config, Qwen3ForCausalLM

SIZE: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
HALF_HEAD = SIZE["hidden_size"] // SIZE["num_attention_heads"] // 2

SCALED: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    # As Qwen3's model card tells to add it for contexts over 32768, here with 1/32 of each length.
    "tiny-qwen3-yarn": (
        Qwen3Config,
        Qwen3ForCausalLM,
        {
            "head_dim": 32,
            "max_position_embeddings": 1280,
            "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024},
        },
    ),
    # As in the config.json of Phi-3's models of long context.
    "tiny-phi3-longrope": (
        Phi3Config,
        Phi3ForCausalLM,
        {
            "max_position_embeddings": 4096,
            "original_max_position_embeddings": 512,
            "rope_scaling": {"type": "longrope", "short_factor": [1.0] * HALF_HEAD, "long_factor": [4.0] * HALF_HEAD},
        },
    ),
}


def main() -> None:
    """Runs the command."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    tokenizer = AutoTokenizer.from_pretrained(source)
    for name, (config_type, model_type, settings) in SCALED.items():
        special = {
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.eos_token_id,
        }
        config = config_type(vocab_size=len(tokenizer), **special, **SIZE, **settings)
        model_type(config).bfloat16().save_pretrained(target / name)
        tokenizer.save_pretrained(target / name)
        # The way it is written in the models that people have, which is not how today's library writes it.
        file = target / name / "config.json"
        written = json.loads(file.read_text())
        written.pop("rope_parameters", None)
        file.write_text(json.dumps({**written, **settings}, indent=2))
        print(file)


if __name__ == "__main__":
    main()
