"""The table for people and the line for programs."""

import json
from collections.abc import Sequence

from benchmarks.steps import BERTH_STEPS, HAND_STEPS, StartPair, Step, berth_share, percentile, since_previous, whole

_LABEL_WIDTH = 44
_PERCENTS = (50, 90)


def table(pairs: Sequence[StartPair]) -> str:
    """p50 and p90 of every step through Berth and by hand, then Berth's share, in milliseconds."""
    berth = [since_previous(pair.through_berth, BERTH_STEPS) for pair in pairs]
    hand = [since_previous(pair.by_hand, HAND_STEPS) for pair in pairs]
    shares = [berth_share(pair) for pair in pairs]
    lines = [
        f"{'milliseconds':{_LABEL_WIDTH}}{'through Berth':>18}{'by hand':>18}",
        f"{'each step since the one before it':{_LABEL_WIDTH}}{'p50':>9}{'p90':>9}{'p50':>9}{'p90':>9}",
        *(_row(step, _of_step(berth, step), _of_step(hand, step)) for step in BERTH_STEPS[1:]),
        _row(
            "from the beginning to the first token",
            [whole(pair.through_berth) for pair in pairs],
            [whole(pair.by_hand) for pair in pairs],
        ),
        "",
        _row("Berth's own share", [share.whole for share in shares]),
        _row("  the request until its pod has a node", [share.before_start for share in shares]),
        _row("  engine ready to first token, less engine", [share.after_ready for share in shares]),
        _row(
            "a whole run through Berth less one by hand",
            [whole(pair.through_berth) - whole(pair.by_hand) for pair in pairs],
        ),
    ]
    return "\n".join(lines)


def result(pairs: Sequence[StartPair]) -> str:
    """One JSON object, in milliseconds."""
    medians = {
        "berth_share_p50_ms": [berth_share(pair).whole for pair in pairs],
        "first_token_p50_ms": [whole(pair.through_berth) for pair in pairs],
        "engine_alone_p50_ms": [whole(pair.by_hand) for pair in pairs],
    }
    return json.dumps({name: round(percentile(values, 50) * 1000, 1) for name, values in medians.items()})


def _of_step(runs: Sequence[dict[Step, float]], step: Step) -> list[float]:
    """What the step took in each run. Empty: runs of this kind do not have the step."""
    return [run[step] for run in runs if step in run]


def _row(label: str, *columns: Sequence[float]) -> str:
    cells = [
        f"{percentile(values, percent) * 1000:9.1f}" if values else f"{'-':>9}"
        for values in columns
        for percent in _PERCENTS
    ]
    return f"{label:{_LABEL_WIDTH}}{''.join(cells)}"
