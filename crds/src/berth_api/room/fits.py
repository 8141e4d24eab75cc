"""Which nodes are ones for a pod, and whether amounts fit: what Kubernetes' scheduler says of the same."""

from collections.abc import Mapping, Sequence

from berth_api.room.snapshot import Amounts, RoomNode, Taint, TolerationRule

_HARD_EFFECTS = ("NoSchedule", "NoExecute")


def fits(need: Amounts, into: Amounts) -> bool:
    """Whether there is so much of each resource. What is not needed may be missing, or less than nothing."""
    for resource, amount in need.items():  # noqa: SIM110 (twice as fast as all(...), and asked a million times)
        if amount > 0 and into.get(resource, 0) < amount:
            return False
    return True


def plus(one: Amounts, other: Amounts) -> dict[str, int]:
    """The sum by resource."""
    total = dict(one)
    for resource, amount in other.items():
        total[resource] = total.get(resource, 0) + amount
    return total


def lacking(need: Amounts, into: Amounts) -> dict[str, int]:
    """What is missing of each resource; without those of which there is enough."""
    return {
        resource: amount - into.get(resource, 0)
        for resource, amount in need.items()
        if amount > 0 and amount > into.get(resource, 0)
    }


def may_go_to(node: RoomNode, selector: Mapping[str, str], tolerations: Sequence[TolerationRule]) -> bool:
    """Whether the node's labels and taints let such a pod in, whatever it needs."""
    if not selector and not node.taints:
        return True
    labels = node.labels
    return all(labels.get(key) == value for key, value in selector.items()) and all(
        taint.effect not in _HARD_EFFECTS or any(_tolerates(rule, taint) for rule in tolerations)
        for taint in node.taints
    )


def scarce_resource(need: Amounts) -> str:
    """The resource that counts in this shape: its devices, or else memory, or else what it needs; `""` for nothing."""
    return min((_commonness(resource) for resource, amount in need.items() if amount > 0), default=(0, ""))[1]


def contradict(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether no node has the labels of both selectors."""
    return any(other.get(key, value) != value for key, value in one.items())


def _commonness(resource: str) -> tuple[int, str]:
    return 0 if "/" in resource else 1 if resource == "memory" else 2, resource


def _tolerates(rule: TolerationRule, taint: Taint) -> bool:
    if rule.effect and rule.effect != taint.effect:
        return False
    if not rule.key:
        return rule.exists
    return rule.key == taint.key and (rule.exists or rule.value == taint.value)
