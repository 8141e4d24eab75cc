"""Which of several operators leads: what is known of the Lease → what to do now. Pure.

The rules are those of Kubernetes' own components. A candidate compares no clocks with others: a Lease has run out when
this candidate has seen it unchanged for as long as it lasts. So only the rates of clocks have to agree. A leader that
could not renew stops earlier than that, counted from the moment before its last renewal was sent.
"""

from dataclasses import dataclass, replace
from enum import Enum


@dataclass(frozen=True, slots=True)
class Terms:
    """The seconds of an election."""

    lasts: float = 12
    """After a leader has vanished, another one takes the Lease this long after it saw the last renewal."""
    renew_within: float = 8
    """A leader that could not renew for so long leads no more."""
    look_every: float = 2
    """Between two renewals of a leader, and two looks of a candidate."""

    def __post_init__(self) -> None:
        """Raises ValueError where a leader could lead beyond the end of its Lease, or would never renew in time."""
        if not 0 < self.look_every < self.renew_within < self.lasts:
            raise ValueError(f"{self}: lookEvery must be less than renewWithin, and that less than lasts")


@dataclass(frozen=True, slots=True)
class Record:
    """What the Lease says."""

    uid: str
    version: str
    """Changes with every write."""
    holder: str
    """Who leads. Empty: nobody."""
    lasts: float
    """Seconds that a renewal is good for."""
    address: str = ""
    """Where the leader listens. Empty: it does not say."""
    transitions: int = 0
    """How often the leader has changed."""


class ElectionStep(Enum):
    """What a candidate does now."""

    CREATE = "create the Lease, and lead"
    TAKE = "write oneself into the Lease, and lead"
    RENEW = "renew the Lease"
    WAIT = "look again later"
    STOP = "lead no more"


@dataclass(frozen=True, slots=True)
class Candidacy:
    """What one candidate knows. Moments are of its own clock, in seconds."""

    me: str
    terms: Terms
    record: Record | None = None
    """The Lease as it was last read or written. None: there is none."""
    seen_at: float = 0
    """When it was first seen as it is."""
    renewed_at: float | None = None
    """The moment before this candidate's last write of the Lease that succeeded was sent. None: it does not lead."""

    def leads(self, now: float) -> bool:
        """Whether this candidate may work at this moment."""
        return self.renewed_at is not None and now < self.renewed_at + self.terms.renew_within

    def step(self, now: float) -> ElectionStep:
        """What to do at this moment, after the Lease was looked at."""
        if self.renewed_at is not None:
            is_ours = self.record is not None and self.record.holder == self.me
            return ElectionStep.RENEW if is_ours and self.leads(now) else ElectionStep.STOP
        if self.record is None:
            return ElectionStep.CREATE
        # Its own name means an earlier life of this very candidate, which is over.
        free = self.record.holder in ("", self.me)
        return ElectionStep.TAKE if free or now >= self.seen_at + self.record.lasts else ElectionStep.WAIT

    def saw(self, record: Record | None, now: float) -> "Candidacy":
        """After a read. A record that has not changed is as old as it was."""
        if record and self.record and record.version == self.record.version:
            return self
        return replace(self, record=record, seen_at=now)

    def wrote(self, record: Record, sent_at: float, now: float) -> "Candidacy":
        """After a write of this candidate that succeeded."""
        return replace(self, record=record, seen_at=now, renewed_at=sent_at)

    def stopped(self) -> "Candidacy":
        """It leads no more."""
        return replace(self, renewed_at=None)
