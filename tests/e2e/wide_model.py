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

_ENDS = {Keys.Tokenizer.EOT_ID: "?", Keys.Tokenizer.EOM_ID: ".", Keys.Tokenizer.FIM_SEP_ID: "\u010a"}
"""What ends an answer besides the model's own token: the end of its first sentence or line (here as it is written in
the vocabulary), by any name under which llama.cpp knows such tokens.

Agents ask for answers of thousands of tokens. A model of this size now and then falls into a loop, and goes on to the
last of them: beside another request its numbers are computed in another order, and it says something else.
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
    added = {key: MetadataDetails(GGUFValueType.UINT32, _token(reader, text)) for key, text in _ENDS.items()}
    copy_with_new_metadata(reader, writer, changed | added, [])
    written = GGUFReader(target, "r+")
    field = written.get_field("llama.context_length")
    assert field
    field.parts[field.data[0]][0] = np.uint32(WINDOW)
    written.data.flush()


def _token(reader: GGUFReader, text: str) -> int:
    """The number of this token in the vocabulary."""
    vocabulary = reader.get_field(Keys.Tokenizer.LIST)
    assert vocabulary
    return list(vocabulary.contents()).index(text)
