"""Which deployment answers a request: a live one, one to create, or none. Pure.

Only what the request states constrains. A setting that it does not state matches any live deployment of the model.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from berth_api.context import context_of, has_context
from berth_api.engine_settings import (
    AUTO,
    DEFAULT_CONTEXT_SIZE,
    LEAST_AUTO_CONTEXT,
    ContextSize,
    LlamaCppSettings,
    VllmSettings,
)
from berth_api.identity import deployment_name, with_defaults
from berth_api.inference import ENGINE_PATHS
from berth_api.model_deployment import (
    MODEL_STORE,
    Backend,
    Device,
    IdleAction,
    IdlePolicy,
    ModelDeployment,
    ModelDeploymentSpec,
    Phase,
)
from berth_cluster.cluster import LABEL_MANAGED_BY
from berth_router import MANAGER
from berth_router.errors import (
    APIError,
    InvalidRequestError,
    ServiceUnavailableError,
    UnknownModelError,
    UnknownPathError,
)
from berth_router.request.ask import Ask
from berth_router.store.model_store import FileType, ModelLookup

ENGINES_FOR: Mapping[Device, Mapping[str, Sequence[Backend]]] = {
    Device.CUDA: {FileType.SAFETENSORS: (Backend.VLLM, Backend.TRANSFORMERS), FileType.GGUF: (Backend.LLAMACPP,)},
    Device.CPU: {FileType.GGUF: (Backend.LLAMACPP,), FileType.SAFETENSORS: (Backend.TRANSFORMERS, Backend.VLLM)},
}
"""The engines for each format of weights on each device, the best first.

Of a model that has both formats, the first format here is used.
"""

_READS: Mapping[Backend, str] = {
    Backend.VLLM: FileType.SAFETENSORS,
    Backend.TRANSFORMERS: FileType.SAFETENSORS,
    Backend.LLAMACPP: FileType.GGUF,
}
"""The format of weights that each engine reads."""

_MODELS_NAMED = 10

_PREFERENCE = {
    Phase.READY: 0,
    Phase.STARTING: 1,
    Phase.PENDING: 1,
    Phase.UNRESPONSIVE: 1,
    None: 1,
    Phase.SLEEPING: 2,
    Phase.STALLED: 3,
}


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings of this installation for deployments that a router creates."""

    engines: Mapping[Backend, Sequence[Device]]
    default_backend: Backend
    default_device: Device
    default_ttl: int
    max_deployments: int
    default_context_size: ContextSize = DEFAULT_CONTEXT_SIZE


@dataclass(frozen=True, slots=True)
class Attach:
    """A live deployment answers."""

    deployment: ModelDeployment


@dataclass(frozen=True, slots=True)
class Create:
    """A deployment has to be made."""

    name: str
    spec: ModelDeploymentSpec


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing can answer."""

    error: APIError


def matches(ask: Ask, deployments: Iterable[ModelDeployment]) -> list[ModelDeployment]:
    """The live deployments that meet all that the request states."""
    return [deployment for deployment in deployments if _meets(ask, deployment)]


class Candidates:
    """The live deployments that meet all that a request states, the best first: the most ready, then by name."""

    def __init__(self, ask: Ask, deployments: Iterable[ModelDeployment]) -> None:
        found = matches(ask, deployments)
        if len(found) > 1:
            found.sort(key=lambda deployment: (_PREFERENCE[deployment.status.phase], deployment.name))
        self._found = found

    @property
    def several(self) -> bool:
        """Whether there is a choice."""
        return len(self._found) > 1

    def best_for(self, tokens: int) -> ModelDeployment | None:
        """The best one that has so much context, else the one that has most. None: there is none at all.

        One that cannot start is chosen only if there is no other.
        """
        found = self._found
        if len(found) < 2:
            return found[0] if found else None
        able = [one for one in found if one.status.phase is not Phase.STALLED] or found[:1]
        # What is not known may be enough.
        sizes = [(context_of(one) or sys.maxsize, one) for one in able]
        return next((one for size, one in sizes if size >= tokens), None) or max(sizes, key=itemgetter(0))[1]


def match(ask: Ask, deployments: Iterable[ModelDeployment], tokens: int = 0) -> ModelDeployment | None:
    """The live deployment that answers the request, if one meets what it states. `tokens`: what it takes, about."""
    return Candidates(ask, deployments).best_for(tokens)


def resolve(
    ask: Ask, live: Sequence[ModelDeployment], lookup: ModelLookup, policy: Policy, tokens: int = 0
) -> Attach | Create | Refuse:
    """What to do for a request that takes about so many tokens of context.

    `live`: all deployments. `lookup`: what the store has of the model.
    """
    best = match(ask, live, tokens)
    if best and best.status.phase is not Phase.STALLED:
        return Attach(best)
    spec = _spec(ask, lookup.weights, policy)
    if isinstance(spec, Refuse):
        return Attach(best) if best else spec
    name = deployment_name(spec)
    # A stalled deployment answers only for its own configuration: another configuration might start.
    stalled = next((one for one in live if _meets(ask, one) and deployment_name(one.spec) == name), None)
    if stalled:
        return Attach(stalled)
    if not lookup.exists:
        return Refuse(_model_not_found(ask.model, lookup.models))
    made = sum(1 for one in live if one.labels.get(LABEL_MANAGED_BY) == MANAGER and not one.deleting)
    if made >= policy.max_deployments:
        return Refuse(
            ServiceUnavailableError(
                f"{ask.model} is not running, and no further model can be started: {made} of {policy.max_deployments}"
                " are live."
                " Unload one with POST /v1/models/unload, or wait until one is idle.",
                code="too_many_deployments",
                retry_after=30,
            )
        )
    return Create(name, spec)


def manifest(create: Create) -> dict[str, object]:
    """The object to create, without its apiVersion and kind."""
    return {
        "metadata": {"name": create.name, "labels": {LABEL_MANAGED_BY: MANAGER}},
        "spec": create.spec.manifest(),
    }


def _meets(ask: Ask, deployment: ModelDeployment) -> bool:
    spec = deployment.spec
    if deployment.deleting or spec.model != ask.model:
        return False
    if ask.backend is not None and spec.backend is not ask.backend:
        return False
    if ask.device is not None and spec.device is not ask.device:
        return False
    if ask.path is not None and ask.path not in ENGINE_PATHS[spec.backend]:
        return False
    return _meets_llamacpp(ask, deployment) and _meets_vllm(ask, spec)


def _meets_llamacpp(ask: Ask, deployment: ModelDeployment) -> bool:
    wanted, layers = ask.context_size or ask.wished_context_size, ask.gpu_layers
    if wanted is None and layers is None:
        return True
    spec = deployment.spec
    if spec.backend is not Backend.LLAMACPP:  # only what is stated excludes it
        return ask.context_size is None and layers is None
    if wanted is not None and not has_context(deployment, wanted):
        return False
    settings = spec.llamacpp
    if layers is not None and (settings is None or settings.gpu_layers is None):
        settings = with_defaults(spec).llamacpp  # what a router made has them all, so that this is rarely done
    return layers is None or (settings is not None and settings.gpu_layers == layers)


def _meets_vllm(ask: Ask, spec: ModelDeploymentSpec) -> bool:
    if ask.max_model_len is None and ask.gpu_memory_utilization is None:
        return True
    settings = spec.vllm
    if settings is None or settings.gpu_memory_utilization is None:
        settings = with_defaults(spec).vllm
    if settings is None:
        return False
    # Without a bound of its own, the engine takes as much context as the model was made for.
    enough_context = (
        ask.max_model_len is None or settings.max_model_len is None or settings.max_model_len >= ask.max_model_len
    )
    return enough_context and ask.gpu_memory_utilization in (None, settings.gpu_memory_utilization)


def _spec(ask: Ask, weights: frozenset[str], policy: Policy) -> ModelDeploymentSpec | Refuse:
    engine = _engine(ask, weights, policy)
    if isinstance(engine, Refuse):
        return engine
    backend, device = engine
    llamacpp = vllm = None
    if backend is Backend.LLAMACPP:
        wished_layers = ask.wished_gpu_layers if device is Device.CUDA else None
        llamacpp = LlamaCppSettings(
            context_size=ask.context_size or _wished_context(ask, policy) or policy.default_context_size,
            gpu_layers=wished_layers if ask.gpu_layers is None else ask.gpu_layers,
        )
    elif backend is Backend.VLLM:
        vllm = VllmSettings(gpu_memory_utilization=ask.gpu_memory_utilization, max_model_len=ask.max_model_len)
    return with_defaults(
        ModelDeploymentSpec(
            model=ask.model,
            backend=backend,
            device=device,
            llamacpp=llamacpp,
            vllm=vllm,
            idle=IdlePolicy(ttl_seconds=policy.default_ttl if ask.ttl is None else ask.ttl, action=IdleAction.DELETE),
        )
    )


def _wished_context(ask: Ask, policy: Policy) -> int | None:
    """The context that is wished for a new deployment; None where the default has as much in any case."""
    wished = ask.wished_context_size
    return None if policy.default_context_size == AUTO and wished and wished <= LEAST_AUTO_CONTEXT else wished


def _engine(ask: Ask, weights: frozenset[str], policy: Policy) -> tuple[Backend, Device] | Refuse:
    """The engine and device to start: what is stated, then what fits the model's files, then the defaults."""
    able = [backend for backend in Backend if ask.path is None or ask.path in ENGINE_PATHS[backend]]
    if ask.backend is not None and ask.backend not in able:
        return Refuse(_path_not_served(ask, [ask.backend], able))
    if ask.backend is not None and weights and _READS[ask.backend] not in weights:
        return Refuse(_format_not_read(ask, ask.backend, weights))
    lacking: list[Backend] = []
    for device in _devices(ask, policy):
        for backend in _backends(ask, device, weights, policy):
            if device not in policy.engines.get(backend, ()):
                continue
            if backend in able:
                return backend, device
            lacking.append(backend)
    if lacking:
        return Refuse(_path_not_served(ask, lacking, able))
    return Refuse(_engine_not_available(ask, weights, policy))


def _format_not_read(ask: Ask, backend: Backend, weights: frozenset[str]) -> InvalidRequestError:
    others = " and ".join(other for other, read in _READS.items() if read in weights)
    return InvalidRequestError(
        f"{_why(ask)}{ask.model} has {' and '.join(sorted(weights))} weights, which {backend} cannot read: it needs"
        f" {_READS[backend]}. {others} can.",
        param=ask.implied_by or "backend",
        code="invalid_value",
    )


def _devices(ask: Ask, policy: Policy) -> Sequence[Device]:
    if ask.device is not None:
        return (ask.device,)
    if ask.gpu_layers:  # -1, all of them, too
        return (Device.CUDA,)
    return (policy.default_device, *(device for device in Device if device is not policy.default_device))


def _backends(ask: Ask, device: Device, weights: frozenset[str], policy: Policy) -> Sequence[Backend]:
    """The engines to try on a device, the best first."""
    if ask.backend is not None:
        return (ask.backend,)
    if weights:
        return [backend for kind, backends in ENGINES_FOR[device].items() if kind in weights for backend in backends]
    return (policy.default_backend, *policy.engines)


def _engine_not_available(ask: Ask, weights: frozenset[str], policy: Policy) -> InvalidRequestError:
    available = ", ".join(f"{backend} on {' or '.join(devices)}" for backend, devices in policy.engines.items())
    if ask.backend is not None and ask.backend not in policy.engines:
        param = ask.implied_by or "backend"
    elif ask.gpu_layers and ask.device is None:
        param = "n_gpu_layers"
    elif ask.backend is None and ask.device is None:
        param = "model"
    else:
        param = "device"
    device = Device.CUDA if ask.gpu_layers else ask.device
    wanted = " on ".join(part for part in (ask.backend, device) if part)
    if ask.backend is None and weights:
        on_device = f" on {ask.device}" if ask.device else ""
        wanted = f"{' or '.join(sorted(weights))} files{on_device}, which is what {ask.model} has"
    return InvalidRequestError(
        f"{_why(ask)}This installation has no engine for {wanted}. It has: {available}.",
        param=param,
        code="engine_not_available",
    )


def _why(ask: Ask) -> str:
    """A sentence that says why it must be this engine, where the caller did not name it."""
    return f"`{ask.implied_by}` is a setting of backend {ask.backend}. " if ask.implied_by else ""


def _path_not_served(ask: Ask, engines: Sequence[Backend], able: Sequence[Backend]) -> UnknownPathError:
    names = ", ".join(dict.fromkeys(engines))
    return UnknownPathError(
        f"The engine of {ask.model}, {names}, has no {ask.path}. Engines that do: {', '.join(able)}.",
        param=ask.implied_by or ("backend" if ask.backend is not None else "model"),
        code="path_not_served",
    )


def _model_not_found(model: str, models: Sequence[str]) -> UnknownModelError:
    shown = ", ".join(models[:_MODELS_NAMED])
    there = f"It has {shown}{' and more' if len(models) > _MODELS_NAMED else ''}." if models else "It is empty."
    return UnknownModelError(
        f"The model {model} is not in the model store. {there} GET /v1/models lists all of it.",
        param="model",
        code="model_not_found",
        model=model.removeprefix(f"{MODEL_STORE}/"),
    )
