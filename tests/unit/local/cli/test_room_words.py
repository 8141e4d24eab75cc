"""What is said while a model waits for the memory of others."""

import pytest

from berth_local.cli.room_words import Residents, waits_for_room
from berth_local.cli.words import waiting_words

THIRD, SECOND = "third-0514176df1", "second-5a91c40699"
MACHINE = Residents({THIRD: "Third", SECOND: "org/Second"}, 500_000_000)
NEEDS = "it needs 388 MB of memory"
ON = f"{NEEDS}; on this machine"
EXPECTED = "place 1 in the queue, with room expected at 08:47:15 UTC"


@pytest.mark.parametrize(
    ("why", "residents", "words"),
    [
        (f"{EXPECTED}: {ON}: {THIRD} (388 MB of memory, busy)", MACHINE, "Third is answering (388 of 500 MB)"),
        (f"{EXPECTED}: {ON}: {THIRD} (388 MB of memory, busy)", Residents(), "third is answering (388 MB)"),
        (
            f"place 3 in the queue: {ON}: {THIRD} (388 MB of memory, busy), {SECOND} (90 MB of memory, busy)",
            MACHINE,
            "Third and org/Second are answering (478 of 500 MB), and 2 models before it",
        ),
        (
            f"{EXPECTED}: {ON}: {THIRD} (1.2 GB of memory, starting), {SECOND} (90 MB of memory, pinned)",
            Residents(MACHINE.names, 2_000_000_000),
            "Third is starting, org/Second is kept (1.3 of 2.0 GB)",
        ),
        (
            f"{EXPECTED}: {ON}: {THIRD} (388 MB of memory, closed until its requests are done)",
            MACHINE,
            "Third is answering (388 of 500 MB)",
        ),
        (
            f"{EXPECTED}: {ON} this comes free: {THIRD}-954e3007-1 (388 MB of memory, ending)",
            MACHINE,
            "Third is leaving",
        ),
        (f"{EXPECTED}: {THIRD} gives back what it needs", MACHINE, "Third is leaving"),
        (
            f"{EXPECTED}: it has its turn when {THIRD}, {SECOND} have answered what is in hand",
            MACHINE,
            "Third and org/Second are answering what was asked before",
        ),
        (f"place 2 in the queue: {NEEDS}, and 1 waits for the same before it", MACHINE, "1 model before it"),
        (
            f"place 1 in the queue: {NEEDS}, which others keep: {THIRD} (388 MB of memory, pinned)",
            MACHINE,
            "Third is kept (388 of 500 MB)",
        ),
    ],
)
def test_it_is_told_who_has_the_memory_and_what_that_does(why: str, residents: Residents, words: str) -> None:
    reason = f"waiting for /models/tiny: Pending: {why}"
    assert waits_for_room(reason)
    assert waiting_words(reason, residents=residents) == f"waiting for memory: {words}"


@pytest.mark.parametrize(
    "why",
    [
        f"place 1 in the queue: {NEEDS}; on node-1: {THIRD} (388 MB of memory, busy)",
        f"place 1 in the queue: it needs 1 nvidia.com/gpu; on this machine: {THIRD} (1 nvidia.com/gpu, busy)",
        "the engine is being started",
    ],
)
def test_a_cluster_and_what_is_not_memory_have_the_words_of_the_server(why: str) -> None:
    reason = f"waiting for /models/tiny: Pending: {why}"
    assert "waiting for memory" not in waiting_words(reason, residents=MACHINE)


def test_a_model_that_has_gone_keeps_its_name() -> None:
    known = MACHINE.and_then(Residents({"new-0514176df1": "New"}))
    assert (known.model(THIRD), known.model("new-0514176df1-ab12-1")) == ("Third", "New")
    assert known.budget_bytes == MACHINE.budget_bytes
