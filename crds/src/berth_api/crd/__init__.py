"""The CustomResourceDefinitions, made from the pydantic types."""

from berth_api.crd.definition import custom_resource_definition
from berth_api.crd.model_deployment import MODEL_DEPLOYMENT
from berth_api.crd.model_download import MODEL_DOWNLOAD
from berth_cluster.cluster import Object


def custom_resource_definitions() -> list[Object]:
    """All of them, as `kubectl apply` takes them."""
    return [custom_resource_definition(resource) for resource in (MODEL_DEPLOYMENT, MODEL_DOWNLOAD)]
