"""How much of each resource a pod asks for and a node has, read from Kubernetes' quantities: pure."""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from berth_api.room.snapshot import Amounts
from berth_cluster.cluster import Object

MEMORY = "memory"
CPU = "cpu"

_COUNTED = {MEMORY, CPU}
_SUFFIXES = {
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
}


def quantity(resource: str, value: str | float) -> int:
    """A quantity in the unit of its resource: processors in thousandths, all else whole. 0 where it is no quantity."""
    text = str(value)
    suffix = next((each for each in _SUFFIXES if text.endswith(each)), "")
    try:
        number = Decimal(text.removesuffix(suffix)) * _SUFFIXES.get(suffix, Decimal(1))
    except InvalidOperation:
        return 0
    if not number.is_finite():
        return 0
    return int(number * 1000 if resource == CPU else number)


def amounts(quantities: dict[str, Any]) -> Amounts:
    """Memory, processors and devices of a list of quantities, without those of which it has none.

    Storage, the number of pods and the like are left out: no model waits for these.
    """
    read = {name: quantity(name, value) for name, value in quantities.items() if name in _COUNTED or "/" in name}
    return {name: amount for name, amount in read.items() if amount > 0}


def pod_amounts(pod: Object) -> Amounts:
    """What the scheduler counts for a pod: all its containers, or more that runs before them.

    An init container that is always restarted goes on beside those that come after it.
    """
    spec: Object = pod["spec"]
    containers: list[Object] = spec.get("containers") or []
    first: list[Object] = spec.get("initContainers") or []
    beside: Amounts = {}
    before: list[Amounts] = []
    for each in first:
        before.append(_sum([beside, _requests(each)]))
        if each.get("restartPolicy") == "Always":
            beside = before[-1]
    total = _sum([beside, *map(_requests, containers)])
    largest = {
        name: max([total.get(name, 0), *(each.get(name, 0) for each in before)]) for name in _names(total, before)
    }
    return _sum([largest, amounts(spec.get("overhead") or {})])


def _requests(container: Object) -> Amounts:
    """A container's requests. What it has a limit for and no request, it requests as much of."""
    resources: Object = container.get("resources") or {}
    return amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})


def _names(total: Amounts, others: list[Amounts]) -> set[str]:
    return {*total, *(name for each in others for name in each)}


def _sum(parts: Iterable[Amounts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total
