"""How long one decision takes in a large cluster."""

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from berth_api.room.asks import Asks
from berth_api.room.decide import decide
from berth_api.room.snapshot import Amounts, Resident, ResidentState, RoomDemand, RoomNode, RoomSettings, RoomSnapshot

NODES = 500
DEPLOYMENTS = 5000
DEVICES = 8
GPU = "nvidia.com/gpu"
_NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
_SETTINGS = RoomSettings(min_residency=timedelta(seconds=60), starts_per_node=2)


@dataclass(frozen=True, slots=True)
class ClusterCrowd:
    """How a cluster's models are at one moment, as shares of 1."""

    name: str
    full: float
    """Of the devices, those that models hold."""
    idle: float
    """Of the models on nodes, those that are idle. Some of the others start or leave, the rest is busy."""
    wanted: float
    """Of the deployments without a node, those that are waited for."""


ORDINARY = "a working day"

CROWDS = (
    ClusterCrowd(ORDINARY, full=1.0, idle=0.3, wanted=0.02),
    ClusterCrowd("half of it is free", full=0.7, idle=0.5, wanted=0.02),
    ClusterCrowd("everybody waits", full=1.0, idle=0.0, wanted=1.0),
    ClusterCrowd("everybody changes", full=1.0, idle=0.9, wanted=0.2),
    ClusterCrowd("the first minute", full=0.0, idle=0.0, wanted=0.2),
)


def crowded(crowd: ClusterCrowd, chance: random.Random) -> RoomSnapshot:
    """A cluster of 500 nodes and 5,000 deployments like this."""
    residents: list[Resident] = []
    for node in range(NODES):
        free = DEVICES
        while free and chance.random() < crowd.full:
            holds = _needs(chance, free)
            free -= holds[GPU]
            residents.append(_resident(f"model-{len(residents)}", f"node-{node}", holds, crowd, chance))
    demands = [
        RoomDemand(
            f"model-{number}",
            (_needs(chance, DEVICES),),
            _NOW - timedelta(seconds=chance.uniform(0, 120)),
            priority=chance.choice((0, 0, 0, 1)),
        )
        for number in range(len(residents), DEPLOYMENTS)
        if chance.random() < crowd.wanted
    ]
    nodes = tuple(
        RoomNode(f"node-{number}", {GPU: DEVICES, "memory": 512 << 30, "cpu": 128_000}) for number in range(NODES)
    )
    return RoomSnapshot(nodes, tuple(residents), tuple(demands))


def decision_seconds(crowd: ClusterCrowd, rounds: int, seed: int = 1) -> list[float]:
    """Processor time of so many decisions, each about another cluster."""
    taken: list[float] = []
    for number in range(rounds):
        snapshot = crowded(crowd, random.Random(f"{seed} {number}"))  # noqa: S311 (chance, not secrets)
        started = time.process_time()
        decide(snapshot, _SETTINGS, _NOW)
        taken.append(time.process_time() - started)
    return taken


def _needs(chance: random.Random, most: int) -> Amounts:
    devices = chance.choice([count for count in (1, 1, 1, 1, 2, 2, 4, 8) if count <= most])
    return {GPU: devices, "memory": devices * chance.randint(8 << 30, 60 << 30), "cpu": 4000}


def _resident(name: str, node: str, holds: Amounts, crowd: ClusterCrowd, chance: random.Random) -> Resident:
    draw = chance.random()
    state = (
        ResidentState.IDLE
        if draw < crowd.idle
        else ResidentState.STARTING
        if draw < crowd.idle + 0.02
        else ResidentState.LEAVING
        if draw < crowd.idle + 0.04
        else ResidentState.BUSY
    )
    used = chance.uniform(0, 600)
    sums = (chance.random() * 5, chance.random() * 50, chance.random() * 200)
    return Resident(
        name,
        node,
        holds,
        state,
        _NOW - timedelta(seconds=used + chance.uniform(0, 3600)),
        _NOW - timedelta(seconds=used),
        start_seconds=chance.uniform(10, 120),
        asks=Asks(_NOW - timedelta(seconds=used), sums),
    )
