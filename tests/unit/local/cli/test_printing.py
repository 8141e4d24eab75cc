"""Tables that fit, and figures for people."""

import pytest

from berth_local.cli.commands.up import parsed_aliases, parsed_size
from berth_local.cli.errors import UsageError
from berth_local.cli.printing import Column, count, duration, facts, size, table

COLUMNS = (Column("MODEL"), Column("SIZE", right=True), Column("ENGINE", rank=2), Column("CONTEXT", rank=1, right=True))
ROWS = [["SmolLM2-135M-Instruct", "98 MB", "llamacpp", "8192"], ["x", "4.7 GB", "vllm", "131072"]]


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (None, "MODEL SIZE ENGINE CONTEXT"),
        (60, "MODEL SIZE ENGINE CONTEXT"),
        (40, "MODEL SIZE CONTEXT"),
        (30, "MODEL SIZE"),
        (20, "MODEL SIZE"),
    ],
)
def test_a_table_fits_by_leaving_out_what_matters_least(width: int | None, titles: str) -> None:
    lines = table(COLUMNS, ROWS, width).splitlines()
    assert lines[0].split() == titles.split()
    assert all(len(line) <= (width or 1000) for line in lines)


def test_what_does_not_fit_is_seen_to_be_cut() -> None:
    assert table(COLUMNS, ROWS, 22).splitlines()[1] == "SmolLM2-135M-…   98 MB"


def test_a_long_fact_goes_on_below_its_beginning() -> None:
    told = [("Store", "/home/me/models, 2 models, 197 MB"), ("Engines", "llamacpp")]
    assert facts(told, 30).splitlines() == [
        "Store    /home/me/models, 2",
        "         models, 197 MB",
        "Engines  llamacpp",
    ]
    assert facts(told, None).splitlines()[0] == "Store    /home/me/models, 2 models, 197 MB"


def test_a_size_that_is_not_known_is_a_dash() -> None:
    assert (size(98_362_432), size(None)) == ("98 MB", "-")


@pytest.mark.parametrize(
    ("given", "shown"), [(-1, "0 s"), (119, "119 s"), (299.6, "5 min"), (12_000, "3 h 20 min"), (1_000_000, "11 d")]
)
def test_durations(given: float, shown: str) -> None:
    assert duration(given) == shown


@pytest.mark.parametrize(
    ("given", "shown"), [(134_515_008, "135M"), (7_615_616_512, "7.6B"), (2_000_000, "2M"), (8192, "8192"), (None, "-")]
)
def test_counts(given: int | None, shown: str) -> None:
    assert count(given) == shown


@pytest.mark.parametrize(
    ("given", "size_bytes"),
    [("8GB", 8 * 10**9), ("512MiB", 512 * 2**20), ("1.5g", 1_500_000_000), ("2 TB", 2 * 10**12)],
)
def test_memory_is_said_as_people_say_it(given: str, size_bytes: int) -> None:
    assert parsed_size(given) == size_bytes


@pytest.mark.parametrize("given", ["8", "GB", "-1GB", "0GB", "8 bytes"])
def test_what_is_no_size_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="must be a size like 8GB"):
        parsed_size(given)


def test_aliases_are_names_and_models() -> None:
    assert parsed_aliases(["gpt-4o=smol@long", "claude-*=smol", "gpt-4o=tiny"]) == {
        "gpt-4o": "tiny",
        "claude-*": "smol",
    }


@pytest.mark.parametrize("given", ["gpt-4o", "gpt-4o=", "=smol"])
def test_what_is_no_alias_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="is no alias"):
        parsed_aliases([given])
