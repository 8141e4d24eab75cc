"""GET /v1/models/manifest: a model's ModelDeployment, to keep in a file and apply to a cluster."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from berth_api.model_deployment import Backend, Device, IdleAction, ModelDeployment, ModelDeploymentSpec
from berth_cluster.cluster import LABEL_MANAGED_BY, MODEL_DEPLOYMENTS
from berth_router import MANAGER
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.resolve import Attach, Policy, Refuse, resolve
from berth_router.request.ask import Ask
from berth_router.request.model_names import model_path
from berth_router.store.model_store import ModelStore


class ManifestMetadata(BaseModel):
    """What identifies the resource."""

    name: str = Field(description="The resource's name.")


class Manifest(BaseModel):
    """A ModelDeployment as a person would apply it."""

    api_version: str = Field(alias="apiVersion", description="Group and version of the resource.")
    kind: str = Field(description="ModelDeployment.")
    metadata: ManifestMetadata
    spec: dict[str, Any] = Field(description="As `kubectl explain md.spec` describes it, with every default filled in.")


def manifest_routes(store: ModelStore, deployments: Deployments, policy: Policy) -> APIRouter:
    """The route for a model's manifest."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models/manifest", summary="A model's ModelDeployment")
    async def show_manifest(  # pyright: ignore[reportUnusedFunction]
        model: Annotated[
            str,
            Query(max_length=512, description="The model's path in the store, its name, or a ModelDeployment's name."),
        ],
        backend: Annotated[
            Backend | None, Query(description="Of this backend. Unset: as for a request that states none.")
        ] = None,
        device: Annotated[
            Device | None, Query(description="On this device. Unset: as for a request that states none.")
        ] = None,
    ) -> Manifest:
        """The manifest of the deployment that a request for the model would use, or of the one that it would start.

        A deployment that a router made is deleted when it is idle. One that a person applies falls asleep instead, and
        this manifest says so.
        """
        if one := deployments.get(model):
            return _of(one)
        ask = Ask(model_path(model), backend, device)
        decision = resolve(ask, deployments.all(), await store.lookup(ask.model), policy)
        if isinstance(decision, Refuse):
            raise decision.error
        if isinstance(decision, Attach):
            return _of(decision.deployment)
        return _manifest(decision.name, decision.spec, sleeps=True)

    return routes


def _of(deployment: ModelDeployment) -> Manifest:
    made_by_router = deployment.labels.get(LABEL_MANAGED_BY) == MANAGER
    return _manifest(deployment.name, deployment.spec, sleeps=made_by_router)


def _manifest(name: str, spec: ModelDeploymentSpec, *, sleeps: bool) -> Manifest:
    if sleeps:
        spec = spec.model_copy(update={"idle": spec.idle.model_copy(update={"action": IdleAction.SLEEP})})
    return Manifest(
        apiVersion=MODEL_DEPLOYMENTS.api_version,
        kind=MODEL_DEPLOYMENTS.kind,
        metadata=ManifestMetadata(name=name),
        spec=spec.manifest(),
    )
