"""What a candidate does, by what it knows of the Lease."""

import pytest

from berth_operator.election.rules import Candidacy, ElectionStep, Record, Terms

TERMS = Terms()
LEASE = "the Lease"


def record(holder: str, version: str = "1", lasts: float = 12) -> Record:
    return Record(LEASE, version, holder, lasts)


@pytest.mark.parametrize(
    ("seen", "at", "step"),
    [
        (None, 0, ElectionStep.CREATE),
        (record(""), 0, ElectionStep.TAKE),
        (record("me"), 0, ElectionStep.TAKE),
        (record("other"), 0, ElectionStep.WAIT),
        (record("other"), 11.9, ElectionStep.WAIT),
        (record("other"), 12, ElectionStep.TAKE),
        (record("other", lasts=60), 59, ElectionStep.WAIT),
    ],
)
def test_a_candidate_takes_what_is_free_and_what_has_run_out(
    seen: Record | None, at: float, step: ElectionStep
) -> None:
    candidacy = Candidacy("me", TERMS).saw(seen, 0)
    assert candidacy.step(at) is step
    assert not candidacy.leads(at)


def test_a_renewal_that_is_seen_begins_the_time_anew() -> None:
    candidacy = Candidacy("me", TERMS).saw(record("other"), 0).saw(record("other"), 10)
    assert candidacy.step(12) is ElectionStep.TAKE
    assert candidacy.saw(record("other", version="2"), 11).step(22.9) is ElectionStep.WAIT


@pytest.mark.parametrize(
    ("holds", "at", "step"),
    [
        (record("me"), 9.9, ElectionStep.RENEW),
        (record("me"), 10, ElectionStep.STOP),
        (record("other", version="2"), 3, ElectionStep.STOP),
        (None, 3, ElectionStep.STOP),
    ],
)
def test_a_leader_stops_in_time_and_when_another_one_has_the_lease(
    holds: Record | None, at: float, step: ElectionStep
) -> None:
    leading = Candidacy("me", TERMS).wrote(record("me"), sent_at=2, now=5).saw(holds, 6)
    assert leading.leads(9.9)
    assert not leading.leads(10), "counted from the moment in which the write was sent"
    assert leading.step(at) is step


@pytest.mark.parametrize("terms", [(12, 12, 2), (12, 8, 8), (12, 8, 0)])
def test_terms_under_which_two_could_lead_are_refused(terms: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="lookEvery"):
        Terms(*terms)
