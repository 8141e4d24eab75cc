"""Turns a directory with one GGUF file into a model in Hugging Face's format: `gguf_to_safetensors.py FROM TO`.

Runs in the transformers image; the weights are what the GGUF's quantization left of them, in bfloat16.
"""

# What it imports is in that image only.
# pyright: basic, reportMissingImports=false

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

source, target = Path(sys.argv[1]), Path(sys.argv[2])
[file] = source.glob("*.gguf")
model = AutoModelForCausalLM.from_pretrained(
    source, gguf_file=file.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
)
model.save_pretrained(target)
AutoTokenizer.from_pretrained(source, gguf_file=file.name).save_pretrained(target)
print(*sorted(path.name for path in target.iterdir()))
