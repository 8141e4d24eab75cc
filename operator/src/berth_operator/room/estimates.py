"""What a deployment will take, before it runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from berth_api.model_deployment import ModelDeploymentSpec
from berth_cluster.cluster import CONTEXT_ANNOTATION, MEMORY_ANNOTATION, TRAINED_CONTEXT_ANNOTATION, Object
from berth_operator.engines.llamacpp import with_context_size


@dataclass(frozen=True, slots=True)
class ContextChoice:
    """A context that a deployment can have, and what it takes then."""

    bytes: int | None
    """Memory of its device, or of its devices together. None: the size of these decides, and is not known."""
    context_size: int | None = None
    """Tokens. None: its engine decides."""
    machine_bytes: int | None = None
    """Memory of the machine that it runs on; on the CPU the same. None: not known."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a deployment will take."""

    choices: tuple[ContextChoice, ...]
    """The largest context first. There is one at least, and no second one where the spec states the context."""
    trained_context_size: int | None = None
    """Tokens that the model was made for; None where its files do not say."""
    weights_bytes: int | None = None
    """What its weights alone take."""


Estimate = Callable[[ModelDeploymentSpec], Awaitable[MemoryEstimate | None]]
"""Returns None where only the deployment's engine can tell."""

Preflight = Callable[[ModelDeploymentSpec, Object], Awaitable[str | None]]
"""Takes a deployment and its pod. Returns why the pod can never have what it needs; None: it may."""


def with_context(manifest: Object, choice: ContextChoice, trained: int | None) -> Object:
    """The pod with this context, and with notes of that and of what it takes."""
    notes = {
        MEMORY_ANNOTATION: choice.bytes,
        CONTEXT_ANNOTATION: choice.context_size,
        TRAINED_CONTEXT_ANNOTATION: trained,
    }
    metadata: Object = manifest["metadata"]
    annotations = {
        **metadata.get("annotations", {}),
        **{name: str(value) for name, value in notes.items() if value is not None},
    }
    spec: Object = manifest["spec"]
    if choice.context_size is not None:
        [engine, *others] = spec["containers"]
        spec = {
            **spec,
            "containers": [{**engine, "args": with_context_size(engine["args"], choice.context_size)}, *others],
        }
    return {**manifest, "metadata": {**metadata, "annotations": annotations}, "spec": spec}
