"""The sample as a model that coding agents take: with a window of 131,072 tokens, and a template that has tools.

It was trained for 8192, and for no tools. What it answers makes little sense, but the engine serves it as any other.
"""

from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFWriter
from gguf.constants import GGUFValueType, Keys
from gguf.scripts.gguf_new_metadata import (  # pyright: ignore[reportMissingTypeStubs]
    MetadataDetails,
    copy_with_new_metadata,
)

WIDE_MODEL = "wide"
WINDOW = 131_072

TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\nFor a function call, return <tool_call>\\n{"name": <function-name>, "arguments": ' }}
    {{- '<args-json-object>}\\n</tool_call>. Functions:' }}
    {%- for tool in tools %}{{- ' ' + tool.function.name }}{%- endfor %}{{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content[-40:] + '\\n</tool_response><|im_end|>\\n' }}
    {%- elif message.role != 'system' %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\\n' + message.content[-40:] }}{%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\nHello! How can I help you' }}{%- endif %}
"""
"""It shows the model the names of the tools and the end of each message: agents begin with some 20,000 tokens, which
take minutes on a small machine. And it begins each answer, so that the model soon ends it.
"""


def make_wide_model(sample: Path, store: Path) -> None:
    """Puts the model into the store. `sample`: the sample's file."""
    (store / WIDE_MODEL).mkdir(parents=True)
    target = store / WIDE_MODEL / "model.gguf"
    reader = GGUFReader(sample)
    writer = GGUFWriter(target, arch="llama", endianess=reader.endianess)
    changed = {
        Keys.Tokenizer.CHAT_TEMPLATE: MetadataDetails(GGUFValueType.STRING, TEMPLATE),
        "general.sampling.temp": MetadataDetails(GGUFValueType.FLOAT32, 0.0),
    }
    copy_with_new_metadata(reader, writer, changed, [])
    written = GGUFReader(target, "r+")
    field = written.get_field("llama.context_length")
    assert field
    field.parts[field.data[0]][0] = np.uint32(WINDOW)
    written.data.flush()
