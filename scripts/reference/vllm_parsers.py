"""docs/reference/vllm-parsers.md, from the launcher's table of families."""

from collections.abc import Sequence

from berth_runtime.engines.vllm_parsers import REASONING_PARSERS, TOOL_PARSERS, ParserRow
from reference.markdown import page

_PAGES = "https://docs.vllm.ai/en/stable/"

_INTRO = """\
vLLM finds the calls of tools and the reasoning in a model's answers only if it is told how the model writes them. Berth
chooses its parsers by the model's files: by the architecture in `config.json`, and by marks in the chat template. The
first row that fits counts. A model that fits none gets no parser: its reasoning is part of its answer, and a request
with tools is refused with 400, unless its `tool_choice` is `none`.

State another parser in the ModelDeployment, or `none`: `spec.vllm.toolCallParser`, `spec.vllm.reasoningParser`. vLLM
0.32 has more parsers than these. Some families need another template than their own, and are not chosen by themselves.
"""


def vllm_parsers_page() -> str:
    """The page: both tables, as the launcher reads them."""
    return page(
        "vLLM's parsers",
        "the table in runtime-image/src/berth_runtime/engines/vllm_parsers.py",
        _INTRO.strip(),
        "## Calls of tools",
        _table(TOOL_PARSERS),
        "## Reasoning",
        _table(REASONING_PARSERS),
    )


def _table(rows: Sequence[ParserRow]) -> str:
    lines = ["| models | parser | architecture | in the template | source |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = [
            row.family,
            f"`{row.parser}`",
            ", ".join(f"`{name}`" for name in sorted(row.architectures)) or "any",
            " or ".join(f"`{mark}`" for mark in row.marks).replace("|", "\\|") or "anything",
            _source(row.source),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _source(source: str) -> str:
    """A page of vLLM's as a link, a file of its package as the name of its module."""
    if source.endswith(".py"):
        return f"`{source.removesuffix('.py').replace('/', '.')}`"
    return f"[{source.rpartition('/')[2]}]({_PAGES}{source}.html)"
