"""Who makes a deployment's pods, or why nobody can: pure."""

from dataclasses import dataclass

from berth_api.model_deployment import NAME_LENGTH, ModelDeployment, ModelDeploymentSpec
from berth_api.pod_settings import berths_own
from berth_cluster.cluster import Object
from berth_operator.engines import ENGINES, EngineKind
from berth_operator.engines.arguments import refused_arguments
from berth_operator.objects.pod_failure import Cause
from berth_operator.resources import make_pod
from berth_operator.settings import EngineImage, OperatorSettings

POD_SETTINGS_NOT_ALLOWED = "PodSettingsNotAllowed"
"""The reason of a spec that takes what is Berth's own. No setting of an administrator mends that."""


POD_REFUSED = "PodRefused"
"""The reason of a spec whose pod the API server refuses, or an admission webhook."""

NEVER_FITS, NO_NODE_ALLOWED = "NeverFits", "NoNodeAllowed"
"""The reasons of a spec for whose pod no node, or no GPU, is large enough, or none is one for it."""

FORESEEN = (POD_REFUSED, NEVER_FITS, NO_NODE_ALLOWED)
"""Reasons that are known only where somebody was asked for the next pod."""

OF_THE_SPEC = (POD_SETTINGS_NOT_ALLOWED, *FORESEEN)
"""Reasons of a spec that has changed, where an engine runs all the same: that was made from the spec before."""


@dataclass(frozen=True, slots=True)
class PodMaker:
    """Makes the deployment's pods as its spec and the settings want them now."""

    engine: EngineKind
    image: EngineImage
    settings: OperatorSettings

    def pod(self, deployment: ModelDeployment) -> Object:
        """The pod of the deployment's attempt."""
        return make_pod(deployment, self.engine, self.image, self.settings)


def pod_maker(deployment: ModelDeployment, settings: OperatorSettings) -> PodMaker | Cause:
    """Who makes the deployment's pods; or why it can have none."""
    if len(deployment.name) > NAME_LENGTH:
        return _name_too_long(deployment)
    spec = deployment.spec
    engine = ENGINES.get(spec.backend)
    image = settings.image_for(spec.backend, spec.device)
    if engine is None or image is None:
        return _engine_unavailable(spec, settings)
    refused = _engine_args_not_allowed(spec, settings) or _pod_settings_not_allowed(spec)
    return refused or PodMaker(engine, image, settings)


def _name_too_long(deployment: ModelDeployment) -> Cause:
    """The name cannot be a label. The API server refuses such a name for a new deployment: this one is an old one."""
    message = (
        f"metadata.name has {len(deployment.name)} characters, and at most {NAME_LENGTH} can be a label of its pods:"
        " delete this ModelDeployment, and make it again under a shorter name"
    )
    return Cause("NameTooLong", message, ended=False)


def _engine_unavailable(spec: ModelDeploymentSpec, settings: OperatorSettings) -> Cause:
    """This operator has no image of the engine for the device."""
    images = [
        f"{backend} on {device}"
        for backend, devices in settings.engines.items()
        if backend in ENGINES
        for device in devices
    ]
    available = ", ".join(sorted(images)) or "none"
    message = f"this installation has no image for {spec.backend} on {spec.device}; it has: {available}"
    return Cause("EngineUnavailable", message, ended=False)


def _engine_args_not_allowed(spec: ModelDeploymentSpec, settings: OperatorSettings) -> Cause | None:
    """The spec has engine arguments that the administrator has not allowed; None where it has none of these."""
    allowed = settings.engine_args.allowed.get(spec.backend, [])
    refused = refused_arguments(spec.engine_args or [], allowed)
    if not refused:
        return None
    message = (
        f"engineArgs: {', '.join(refused)} may not be used with {spec.backend};"
        f" the administrator allows: {', '.join(allowed) or 'none'}"
    )
    return Cause("EngineArgsNotAllowed", message, ended=False)


def _pod_settings_not_allowed(spec: ModelDeploymentSpec) -> Cause | None:
    """The spec would replace what Berth gives a pod: of two variables with a name, an engine has the last one."""
    taken = berths_own(spec.pod) if spec.pod else None
    return Cause(POD_SETTINGS_NOT_ALLOWED, taken, ended=False) if taken else None
