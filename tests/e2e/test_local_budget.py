"""Three real models on one machine with memory for two, and more clients than it has room for."""

from benchmarks.budget import crowd, three_models

SECONDS = 15
CLIENTS = 8


async def test_everybody_is_answered_and_the_budget_is_kept() -> None:
    counts = await crowd(three_models(), SECONDS, CLIENTS)
    assert counts.lost == []
    assert counts.cut == []
    assert len(counts.answered) == 3
    assert 0 < counts.most_bytes <= counts.budget_bytes
