"""Which deployment answers a request: one that is live, one to create, or none. Pure.

Only what the request states constrains. An unstated setting matches any live deployment of the model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from berth_api.cluster import LABEL_MANAGED_BY
from berth_api.identity import deployment_name, with_defaults
from berth_api.model_deployment import (
    Backend,
    Device,
    IdleAction,
    IdlePolicy,
    LlamaCppSettings,
    ModelDeployment,
    ModelDeploymentSpec,
    Phase,
)
from berth_router.ask import Ask
from berth_router.errors import APIError, InvalidRequestError, ModelNotFoundError, UnavailableError

MANAGER = "berth-router"
"""Value of the managed-by label on what a router creates."""

_MODELS_NAMED = 10

_PREFERENCE = {Phase.READY: 0, Phase.STARTING: 1, Phase.PENDING: 1, None: 1, Phase.SLEEPING: 2, Phase.STALLED: 3}


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decide about a deployment to create."""

    engines: Mapping[Backend, Sequence[Device]]
    default_backend: Backend
    default_device: Device
    default_ttl: int
    max_deployments: int


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the model store said: whether it has the model, and some of those that it has."""

    exists: bool
    models: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Use:
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


def match(ask: Ask, deployments: Iterable[ModelDeployment]) -> ModelDeployment | None:
    """The best of the live deployments that meet all that the request states: the most ready, then the smallest name."""
    return min(
        (deployment for deployment in deployments if _meets(ask, deployment)),
        key=lambda deployment: (_PREFERENCE[deployment.status.phase], deployment.name),
        default=None,
    )


def resolve(ask: Ask, live: Sequence[ModelDeployment], inventory: Inventory, policy: Policy) -> Use | Create | Refuse:
    """What to do for a request, given every deployment there is and what the store holds of the model."""
    best = match(ask, live)
    if best and best.status.phase is not Phase.STALLED:
        return Use(best)
    spec = _spec(ask, policy)
    if isinstance(spec, Refuse):
        return Use(best) if best else spec
    name = deployment_name(spec)
    # A deployment that cannot start answers for its own configuration alone: it must not stand in the way of one that could.
    stalled = next((one for one in live if _meets(ask, one) and deployment_name(one.spec) == name), None)
    if stalled:
        return Use(stalled)
    if not inventory.exists:
        return Refuse(_model_not_found(ask.model, inventory.models))
    made = sum(1 for one in live if one.labels.get(LABEL_MANAGED_BY) == MANAGER and not one.deleting)
    if made >= policy.max_deployments:
        return Refuse(
            UnavailableError(
                f"{ask.model} is not running, and no further model can be started: {made} of {policy.max_deployments} are live."
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
    if ask.context_size is None and ask.gpu_layers is None:
        return True
    settings = with_defaults(spec).llamacpp
    if settings is None or settings.context_size is None:
        return False
    enough_context = ask.context_size is None or settings.context_size >= ask.context_size
    return enough_context and ask.gpu_layers in (None, settings.gpu_layers)


def _spec(ask: Ask, policy: Policy) -> ModelDeploymentSpec | Refuse:
    engine = _engine(ask, policy)
    if isinstance(engine, Refuse):
        return engine
    backend, device = engine
    llamacpp = None
    if backend is Backend.LLAMACPP:
        llamacpp = LlamaCppSettings(context_size=ask.context_size, gpu_layers=ask.gpu_layers)
    return with_defaults(
        ModelDeploymentSpec(
            model=ask.model,
            backend=backend,
            device=device,
            llamacpp=llamacpp,
            idle=IdlePolicy(ttl_seconds=policy.default_ttl if ask.ttl is None else ask.ttl, action=IdleAction.DELETE),
        )
    )


def _engine(ask: Ask, policy: Policy) -> tuple[Backend, Device] | Refuse:
    """The stated backend and device, the defaults where none is stated, and the first that fits where the defaults do not."""
    backends = [policy.default_backend, *policy.engines] if ask.backend is None else [ask.backend]
    for backend in backends:
        devices = policy.engines.get(backend, ())
        preferred = policy.default_device if ask.device is None else ask.device
        if preferred in devices:
            return backend, preferred
        if ask.device is None and devices:
            return backend, devices[0]
    available = ", ".join(f"{backend} on {' or '.join(devices)}" for backend, devices in policy.engines.items())
    param = "backend" if ask.backend is not None and ask.backend not in policy.engines else "device"
    wanted = " on ".join(part for part in (ask.backend, ask.device) if part)
    return Refuse(
        InvalidRequestError(f"This installation has no engine for {wanted}. It has: {available}.", param=param, code="engine_not_available")
    )


def _model_not_found(model: str, models: Sequence[str]) -> ModelNotFoundError:
    shown = ", ".join(models[:_MODELS_NAMED])
    there = f"It has {shown}{' and more' if len(models) > _MODELS_NAMED else ''}." if models else "It is empty."
    return ModelNotFoundError(
        f"The model {model} is not in the model store. {there} GET /v1/models lists all of it.", param="model", code="model_not_found"
    )
