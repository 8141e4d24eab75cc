"""Carries an election out: it reads and writes the Lease as the rules say, to lead and while it leads."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import structlog

from berth_cluster.cluster import (
    GROUP,
    LEASES,
    AlreadyExistsError,
    Cluster,
    ClusterError,
    ConflictError,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_operator.election.rules import Candidacy, ElectionStep, Record, Terms
from berth_process.clock import Clock, utc_now

_log = structlog.get_logger(__name__)

ADDRESS_ANNOTATION = f"{GROUP}/address"
"""On the Lease: where its holder listens."""


class Elector:
    """One candidate. `campaign` returns when it leads, `keep` when it leads no more; `release` lets another one lead.

    The client library's own election is not used: it reads the clock of the wall without its zone, ends with the first
    connection that breaks, lets a leader go on whose request hangs, and never gives a Lease back.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        me: str,
        address: str = "",
        *,
        terms: Terms,
        clock: Clock = utc_now,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name`: that of the Lease. `me`: what no other candidate is called. `address`: where this one listens.

        `now` counts seconds; the event loop's own clock would stand still within a turn of the loop.
        """
        self._cluster = cluster
        self._name = name
        self._address = address
        self._candidacy = Candidacy(me, terms)
        self._clock = clock
        self._now = now
        self._must_look = True
        """The Lease may not be as it was last seen."""

    @property
    def leads(self) -> bool:
        """Whether this operator may work now."""
        return self._candidacy.leads(self._now())

    @property
    def leader_address(self) -> str:
        """Where the leader listens, as far as it is known. Empty: nobody leads, or it does not say."""
        record = self._candidacy.record
        return record.address if record and record.holder else ""

    async def campaign(self) -> None:
        """Returns when this operator leads."""
        terms = self._candidacy.terms
        while True:
            self._must_look = True
            await self._turn()
            if self.leads:
                _log.info("leads", lease=self._name, candidate=self._candidacy.me)
                return
            record = self._candidacy.record
            runs_out = self._candidacy.seen_at + record.lasts - self._now() if record else terms.look_every
            await asyncio.sleep(min(terms.look_every, max(0.0, runs_out)) or terms.look_every)

    async def keep(self) -> None:
        """Renews the Lease; returns when this operator leads no more, which is before another one can."""
        terms = self._candidacy.terms
        while (renewed_at := self._candidacy.renewed_at) is not None and self.leads:
            await asyncio.sleep(max(0.0, min(terms.look_every, renewed_at + terms.renew_within - self._now())))
            await self._turn()
        self._candidacy = self._candidacy.stopped()
        _log.warning("leads_no_more", lease=self._name, candidate=self._candidacy.me)

    async def release(self) -> None:
        """Lets another one lead at once. Nothing of this operator may work any more. A failure is only logged."""
        record, was_leading = self._candidacy.record, self.leads
        self._candidacy = self._candidacy.stopped()
        if not was_leading or record is None:
            return
        given_back: Object = {"spec": {"holderIdentity": ""}, "metadata": {"annotations": {ADDRESS_ANNOTATION: None}}}
        try:
            async with asyncio.timeout(self._candidacy.terms.look_every):
                await self._cluster.patch(LEASES, self._name, given_back, Preconditions(record.uid, record.version))
        except (ClusterError, TimeoutError) as error:
            _log.warning("lease_not_released", lease=self._name, error=str(error) or type(error).__name__)

    async def _turn(self) -> None:
        """One look, where the Lease may have changed, and one write, where the rules ask for it."""
        renewed_at, terms = self._candidacy.renewed_at, self._candidacy.terms
        patience = terms.renew_within if renewed_at is None else renewed_at + terms.renew_within - self._now()
        try:
            async with asyncio.timeout(max(0.0, patience)):
                if self._must_look:
                    self._candidacy = self._candidacy.saw(await self._read(), self._now())
                    self._must_look = False
                await self._take(self._candidacy.step(self._now()))
        except (ConflictError, AlreadyExistsError, NotFoundError):
            self._must_look = True  # somebody else has written it
        except (ClusterError, TimeoutError) as error:
            self._must_look = True
            _log.warning("lease_not_reached", lease=self._name, error=str(error) or type(error).__name__)

    async def _take(self, step: ElectionStep) -> None:
        match step:
            case ElectionStep.CREATE:
                lease = self._lease(0, taken=True)
                lease |= {"apiVersion": LEASES.api_version, "kind": LEASES.kind}
                lease["metadata"]["name"] = self._name
                await self._write(lambda: self._cluster.create(LEASES, lease))
            case ElectionStep.TAKE | ElectionStep.RENEW:
                record = self._candidacy.record
                if record is None:
                    return
                changes = step is ElectionStep.TAKE and record.holder != self._candidacy.me
                patch = self._lease(record.transitions + changes, taken=step is ElectionStep.TAKE)
                as_seen = Preconditions(record.uid, record.version)
                await self._write(lambda: self._cluster.patch(LEASES, self._name, patch, as_seen))
            case ElectionStep.STOP:
                self._candidacy = self._candidacy.stopped()
            case ElectionStep.WAIT:
                pass

    async def _write(self, write: Callable[[], Awaitable[Object]]) -> None:
        sent_at = self._now()
        self._candidacy = self._candidacy.wrote(_record(await write(), self._candidacy.terms), sent_at, self._now())

    async def _read(self) -> Record | None:
        try:
            return _record(await self._cluster.get(LEASES, self._name), self._candidacy.terms)
        except NotFoundError:
            return None

    def _lease(self, transitions: int, *, taken: bool) -> Object:
        now = _micro_time(self._clock())
        spec: Object = {
            "holderIdentity": self._candidacy.me,
            "leaseDurationSeconds": math.ceil(self._candidacy.terms.lasts),
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        if taken:
            spec["acquireTime"] = now
        return {"metadata": {"annotations": {ADDRESS_ANNOTATION: self._address}}, "spec": spec}


def _record(lease: Object, terms: Terms) -> Record:
    metadata: Object = lease["metadata"]
    spec: Object = lease.get("spec") or {}
    annotations: dict[str, Any] = metadata.get("annotations") or {}
    return Record(
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        holder=spec.get("holderIdentity") or "",
        lasts=float(spec.get("leaseDurationSeconds") or terms.lasts),
        address=annotations.get(ADDRESS_ANNOTATION) or "",
        transitions=int(spec.get("leaseTransitions") or 0),
    )


def _micro_time(moment: datetime) -> str:
    """As the API server wants the moments of a Lease. They are for people: no rule reads them."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
