"""What an engine's pod was made from, and what of that has changed since: pure.

The pod carries digests of its own manifest, one for each part that people know by a name. The API server adds fields to
the stored pod, so a new manifest is compared with the digests and not with the pod.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from berth_api.conditions import IMAGE_CHANGED, SPEC_CHANGED
from berth_cluster.cluster import GENERATION_ANNOTATION, MADE_FROM_ANNOTATION, Object
from berth_operator.objects.parts import annotations_of, number

_PART_LENGTH, _WHOLE_LENGTH = 8, 16
"""Characters of a digest of one part, and of the digest of all."""

_IMAGE = "image"
_PARTS = {
    _IMAGE: "the image",
    "arguments": "the engine's arguments",
    "resources": "its compute resources",
    "scheduling": "which nodes it may run on",
    "settings": "its pod's other settings",
}
"""The parts of a manifest, and their names for people."""

_SCHEDULING = ("nodeSelector", "tolerations", "runtimeClassName")
_MORE_SCHEDULING = ("affinity", "topologySpreadConstraints", "priorityClassName", "schedulerName")
"""What few pods have. A pod without any has the digest that it had when there was none of it."""

_STARTUP_TIMING = {"periodSeconds": 5, "failureThreshold": 17_280}
"""What digests have of a startup probe's timing, whatever it is. It is over when an engine serves: another timing is no
reason to replace one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What has changed since an engine's pod was made."""

    reason: str
    """IMAGE_CHANGED where it is the image alone, else SPEC_CHANGED."""
    what: str
    """For people."""
    generation: int | None
    """The generation of the spec that the engine was made from, where the pod says so."""


def digests(pod: Object) -> str:
    """The digests of a new pod's manifest, without its name, owner and generation, as the pod carries them."""
    return ",".join(f"{name}={_digest(part)[:_PART_LENGTH]}" for name, part in _parts(pod).items())


def digest(pod: Object) -> str | None:
    """One digest of all that a pod was made from; None where the pod carries none."""
    carried = _carried(pod)
    return _digest(carried)[:_WHOLE_LENGTH] if carried else None


def difference(pod: Object, wanted: Object) -> Difference | None:
    """What differs between a pod and the one that would be made now; None where nothing does."""
    carried, now = _carried(pod), _carried(wanted)
    if carried == now:
        return None
    made_in = made_in_generation(pod)
    if not carried:
        return Difference(SPEC_CHANGED, "its pod was made by another version of Berth", made_in)
    before, after = _read(carried), _read(now)
    changed = [name for name in _PARTS if before.get(name) != after.get(name)]
    words = [f"the image, now {_engine_image(wanted)}" if name == _IMAGE else _PARTS[name] for name in changed]
    reason = IMAGE_CHANGED if changed == [_IMAGE] else SPEC_CHANGED
    return Difference(reason, ", ".join(words) or "what its pod is made from", made_in)


def made_in_generation(pod: Object) -> int | None:
    """The generation of the spec that the pod was made from, where it says so."""
    return number(annotations_of(pod).get(GENERATION_ANNOTATION))


def _parts(pod: Object) -> dict[str, Any]:
    """The manifest in parts: every field is in one of them."""
    spec: dict[str, Any] = dict(pod["spec"])
    [engine, *others] = spec.pop("containers")
    container: dict[str, Any] = dict(engine)
    if probe := container.get("startupProbe"):
        container["startupProbe"] = {**probe, **_STARTUP_TIMING}
    more = {field: spec.pop(field) for field in _MORE_SCHEDULING if field in spec}
    annotations = {
        key: value
        for key, value in annotations_of(pod).items()
        if key not in (GENERATION_ANNOTATION, MADE_FROM_ANNOTATION)
    }
    return {
        _IMAGE: [container.pop("image", None), container.pop("imagePullPolicy", None)],
        "arguments": container.pop("args", None),
        "resources": container.pop("resources", None),
        "scheduling": [*(spec.pop(field, None) for field in _SCHEDULING), *([more] if more else [])],
        "settings": [pod["metadata"].get("labels"), annotations, spec, container, others],
    }


def _carried(pod: Object) -> str:
    return annotations_of(pod).get(MADE_FROM_ANNOTATION, "")


def _read(carried: str) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in carried.split(","))}


def _engine_image(pod: Object) -> str:
    return pod["spec"]["containers"][0]["image"]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
