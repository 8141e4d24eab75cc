"""What the decision about room says to people: figures with units, and the names of those who hold what is missing."""

from collections.abc import Iterable, Sequence

from berth_api.room.snapshot import Amounts, Resident, ResidentState
from berth_process.sizes import readable

_MOST_NAMES = 5

_STATES = {
    ResidentState.IDLE: "idle",
    ResidentState.BUSY: "busy",
    ResidentState.STARTING: "starting",
    ResidentState.LEAVING: "ending",
}


def amounts(each: Amounts) -> str:
    """`2 nvidia.com/gpu, 8.0 GB of memory`."""
    return ", ".join(amount(resource, count) for resource, count in sorted(each.items()) if count) or "nothing"


def amount(resource: str, count: int) -> str:
    """`8.0 GB of memory`, `1.5 CPUs`, `2 nvidia.com/gpu`."""
    if resource == "memory":
        return f"{readable(max(0, count))} of memory"
    return f"{count / 1000:g} CPUs" if resource == "cpu" else f"{count} {resource}"


def holders(residents: Iterable[Resident], resources: Iterable[str]) -> str:
    """`a (5.0 GB of memory, busy), b (1 nvidia.com/gpu, idle)`: those that hold any of these resources."""
    wanted = set(resources)
    described = [
        f"{one.name} ({amounts(held)}, {_state(one)})"
        for one in residents
        if (held := {resource: count for resource, count in one.holds.items() if resource in wanted and count})
    ]
    return listed(described)


def listed(words: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(words) - _MOST_NAMES
    return ", ".join(words[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _state(one: Resident) -> str:
    if one.pinned:
        return "pinned"
    return "closed until its requests are done" if one.closed else _STATES[one.state]
