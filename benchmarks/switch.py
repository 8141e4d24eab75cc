"""What a switch between two models costs: from the request to its first token.

    uv run python -m benchmarks.switch [--quick]

Two real models (SmolLM2-135M-Instruct as scripts/sample-model brings it, and the same in 8 bits), the files in the page
cache, room for one in memory: A, B, A, B ... through Berth (`berth up`), through Ollama where it is on PATH (room for
one as well, else as it comes), and with the engine ended and started by hand, with the very arguments that Berth gives
it. They take turns, so that all meet the same machine; there is a pause before each switch, as there is before a
person's. Then Berth with room for both: to the other model and once more to the same.

The last line is one JSON object: medians over the pairs of Berth's time by the engine's and by Ollama's (null without
it), and what a switch between two loaded models costs over a hot request, in milliseconds.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.chat import AnswerError
from benchmarks.contenders import BERTH_PARALLEL, CONTEXT_SIZE, Contender, berth, by_hand, ollama, ollama_program
from benchmarks.requantize import requantize
from berth_formats.describe import describe
from berth_formats.memory import llamacpp_bytes

CACHE = Path.home() / ".cache/berth/models"
FIRST, SECOND = "SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct-Q8_0"
MODELS = (FIRST, SECOND)
SWITCHES = 12
QUICK_SWITCHES = 4
PAUSE_SECONDS = 2.0
"""Before each switch: whoever changes the model has read an answer first."""

HOT_PAIRS = 20
QUICK_HOT_PAIRS = 8

_ROOT = Path(__file__).parents[1]


def models() -> dict[str, Path]:
    """The models' files, made where they are missing."""
    subprocess.run([sys.executable, _ROOT / "scripts/sample-model", CACHE], check=True, stdout=subprocess.DEVNULL)
    [first] = (CACHE / FIRST).glob("*.gguf")
    second = CACHE / SECOND / f"{SECOND}.gguf"
    requantize(first, second)
    return {FIRST: first, SECOND: second}


async def cold(contenders: Sequence[Contender], switches: int) -> dict[str, list[float]]:
    """Seconds of each switch, by contender, in the same order."""
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for model in MODELS:  # what the first start of each model reads is in the page cache from now on
        for contender in contenders:
            await contender.ask(model)
    for number in range(switches):
        for contender in contenders:
            await asyncio.sleep(PAUSE_SECONDS)
            times[contender.name].append(await contender.ask(MODELS[number % 2]))
    return times


async def hot(contender: Contender, pairs: int) -> list[tuple[float, float]]:
    """Seconds to the other model, and of a request to the same one right after, with both models loaded."""
    for model in MODELS * 2:
        await contender.ask(model)
    return [
        (await contender.ask(MODELS[number % 2]), await contender.ask(MODELS[number % 2])) for number in range(pairs)
    ]


async def run(
    files: Mapping[str, Path], switches: int, hot_pairs: int
) -> tuple[dict[str, list[float]], list[tuple[float, float]]]:
    """Measures everything."""
    sizes = [llamacpp_bytes(describe(file), CONTEXT_SIZE, BERTH_PARALLEL) for file in files.values()]
    with tempfile.TemporaryDirectory(prefix="berth-switch-") as scratch:
        store, home = Path(scratch) / "store", Path(scratch)
        for model, file in files.items():
            (store / model).mkdir(parents=True)
            (store / model / file.name).symlink_to(file)
        async with AsyncExitStack() as stack:
            contenders: list[Contender] = [
                await stack.enter_async_context(berth(store, home / "one", MODELS, max(sizes))),
                await stack.enter_async_context(by_hand(files)),
            ]
            if program := ollama_program():
                contenders.append(await stack.enter_async_context(ollama(program, home, files)))
            times = await cold(contenders, switches)
        async with berth(store, home / "both", MODELS, sum(sizes)) as contender:
            return times, await hot(contender, hot_pairs)


def table(times: Mapping[str, Sequence[float]], pairs: Sequence[tuple[float, float]]) -> str:
    """Medians for people."""
    lines = [f"{'request to first token, seconds':40}{'median':>9}{'min':>9}{'max':>9}"]
    lines += [_row(f"switch, room for one: {name}", values) for name, values in times.items()]
    lines.append(_row("switch, room for both: Berth", [switch for switch, _ in pairs]))
    lines.append(_row("the same model again: Berth", [again for _, again in pairs]))
    return "\n".join(lines)


def result(times: Mapping[str, Sequence[float]], pairs: Sequence[tuple[float, float]]) -> str:
    """One JSON object."""
    by_berth = times["Berth"]
    return json.dumps(
        {
            "cold_ratio_vs_engine": _ratio(by_berth, times["engine by hand"]),
            "cold_ratio_vs_ollama": _ratio(by_berth, times["Ollama"]) if "Ollama" in times else None,
            "switch_back_minus_hot_ms": round(statistics.median(switch - again for switch, again in pairs) * 1000, 1),
        }
    )


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return round(statistics.median(one / other for one, other in zip(ours, theirs, strict=True)), 3)


def _row(label: str, values: Sequence[float]) -> str:
    return f"{label:40}{statistics.median(values):9.3f}{min(values):9.3f}{max(values):9.3f}"


def main() -> int:
    """Prints the table and the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SWITCHES} switches instead of {SWITCHES}")
    quick = parser.parse_args().quick
    try:
        times, pairs = asyncio.run(
            run(models(), QUICK_SWITCHES if quick else SWITCHES, QUICK_HOT_PAIRS if quick else HOT_PAIRS)
        )
    except (AnswerError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print(table(times, pairs))
    print(result(times, pairs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
