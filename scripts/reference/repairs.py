"""docs/reference/repairs.md, from the router's table of repairs and from the fields that no engine gets."""

from collections.abc import Iterable

from berth_api.inference import CHAT_COMPLETIONS, COMPLETIONS, ENDS_WITHOUT_DONE, ENGINE_PATHS, TOKENIZE
from berth_api.model_deployment import Backend
from berth_router.repairs.refusals import REFUSALS, RefusalRow
from berth_router.repairs.repair import EVERY_ENGINE, Repair
from berth_router.repairs.table import REPAIRS
from berth_router.request.engine_body import UNSAFE_FIELDS, UNSAFE_TEMPLATE_ARGUMENTS
from reference.markdown import page, paragraph


def repairs_page() -> str:
    """The page: a table of all repairs, and one of the fields that are taken off."""
    return page(
        "Repairs",
        "router/src/berth_router/repairs and router/src/berth_router/request/engine_body.py",
        paragraph(
            "Engines do not do all that a client of OpenAI's or Anthropic's API relies on. What they would do wrong is"
            " *repaired*, what they call otherwise is *mapped*, and what they would ignore is *refused* with a 400"
            " whose `error.param` names the field. All else goes to the engine, and comes from it, as it is."
        ),
        "## Requests and answers",
        _table(("what", "engines", "paths", ""), [*map(_row, REPAIRS), *_elsewhere()]),
        "## What engines refuse",
        paragraph(
            "Engines answer some requests with a 500, or with a status of their own, because the request is wrong."
            " Clients get a 400 then, with the engine's words or clearer ones, in the shape of the API that they speak."
            " In `/v1/messages`, a prompt that is too long is told in Anthropic's words: `prompt is too long: ...`."
        ),
        _table(
            ("what", "engines", "`error.param`", "`error.code`"),
            [(row.says, _engines(row.engines), _param(row), f"`{row.code}`") for row in REFUSALS],
        ),
        "## Fields that no engine gets",
        paragraph(
            "By these, one caller could affect an engine that others share. They are taken off, whichever engine"
            " answers. Of `chat_template_kwargs`, these are: "
            + ", ".join(f"`{name}`" for name in UNSAFE_TEMPLATE_ARGUMENTS)
            + "."
        ),
        _table(
            ("field", "engine that has it", "why"),
            [(f"`{field}`", engine, why) for engine, fields in UNSAFE_FIELDS.items() for field, why in fields.items()],
        ),
    )


def _row(repair: Repair) -> tuple[str, str, str, str]:
    engines = "every" if repair.for_every_engine else _names(repair.engines)
    return f"`{repair.field}`", engines, _codes(repair.paths), f"{repair.kind}: {repair.says}"


def _elsewhere() -> list[tuple[str, str, str, str]]:
    """What other rooms repair, as it takes no look at a request's body."""
    return [
        (
            "`model`",
            "every",
            "all",
            "mapped: The engine gets its own name of the model, and the answer has the name that the caller wrote.",
        ),
        (
            "`stream`",
            _names(ENDS_WITHOUT_DONE),
            _codes((CHAT_COMPLETIONS, COMPLETIONS)),
            "repaired: A whole stream ends with `data: [DONE]`.",
        ),
        (
            "`temperature`",
            Backend.TRANSFORMERS.value,
            _codes(ENGINE_PATHS[Backend.TRANSFORMERS]),
            "repaired: Sampling is turned on, as the engine samples only if the model's files say so.",
        ),
        ("`prompt`, `content`", "every", _codes((TOKENIZE,)), "mapped: Each engine gets the name that it knows."),
    ]


def _param(row: RefusalRow) -> str:
    if "field" in row.text.groupindex:
        return "that field"
    return f"`{row.param}`" if row.param else "the field with the prompt"


def _engines(engines: frozenset[Backend]) -> str:
    return "every" if engines >= EVERY_ENGINE else _names(engines)


def _names(engines: Iterable[Backend]) -> str:
    return ", ".join(engine.value for engine in Backend if engine in engines)


def _codes(paths: Iterable[str]) -> str:
    return ", ".join(f"`{path}`" for path in sorted(paths))


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
