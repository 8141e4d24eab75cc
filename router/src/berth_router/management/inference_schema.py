"""The inference paths in the description of the API. FastAPI does not serve them, so it does not describe them."""

from collections.abc import Mapping
from typing import Any, Union

from pydantic import Field, create_model
from pydantic.json_schema import models_json_schema

from berth_router.request.defaults import AnswerDefaults
from berth_router.request.endpoints import INFERENCE_PATHS, Endpoint, FieldTypes
from berth_router.request.fields import BerthFields, RequestFields

_REFERENCE = "#/components/schemas/{model}"


def add_inference(schema: dict[str, Any], defaults: AnswerDefaults) -> None:
    """Adds every inference path to an OpenAPI schema. `defaults`: what an answer gets if nothing is stated."""
    models = {endpoint: _request_model(endpoint, defaults) for endpoint in INFERENCE_PATHS.values()}
    references, definitions = models_json_schema(
        [(model, "validation") for model in models.values()], ref_template=_REFERENCE
    )
    schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    load: Any = create_model("LoadRequest", __base__=BerthFields)
    load.__doc__ = "What to load."
    schema["components"]["schemas"]["LoadRequest"] = load.model_json_schema(ref_template=_REFERENCE)
    schema["components"]["schemas"]["LoadRequest"].pop("$defs", None)
    schema["paths"]["/v1/models/load"] = {"post": _load_operation()}
    for endpoint, model in models.items():
        schema["paths"][endpoint.path] = {"post": _operation(endpoint, references[(model, "validation")])}


def _request_model(endpoint: Endpoint, defaults: AnswerDefaults) -> type[BerthFields]:
    kinds = _annotation(endpoint.prompt_types)
    fields: dict[str, Any] = {}
    if len(endpoint.prompts) == 1:
        fields[endpoint.prompts[0]] = (kinds, Field(description="What to answer."))
    else:
        for name in endpoint.prompts:
            fields[name] = (kinds | None, Field(default=None, description=f"One of {', '.join(endpoint.prompts)}."))
    fields |= {name: (_annotation(types), Field(description="What goes with it.")) for name, types in endpoint.also}
    if endpoint.streams:
        fields["stream"] = _like("stream", default=False)
    if endpoint.samples:
        fields |= {name: _like(name, getattr(defaults, name)) for name in ("temperature", "top_p")}
    if endpoint.output_limit:
        fields[endpoint.output_limit] = _like(
            endpoint.output_limit, ... if endpoint.output_limit_required else defaults.max_tokens
        )
    name = "".join(part.title().replace("_", "") for part in endpoint.path.removeprefix("/v1").split("/")) + "Request"
    model: type[BerthFields] = create_model(name, __base__=BerthFields, **fields)
    model.__doc__ = f"{endpoint.summary}. Every further field of the API goes to the engine as it is."
    return model


_ANNOTATIONS: Mapping[type, Any] = {str: str, list: list[Any], dict: dict[str, Any]}


def _annotation(types: FieldTypes) -> Any:
    """The types of a field as pydantic reads them."""
    return Union[tuple(_ANNOTATIONS[each] for each in types)]  # noqa: UP007 (the types are known only now)


def _like(name: str, default: Any) -> tuple[Any, Any]:
    """A field as RequestFields checks it, with the default that an engine gets."""
    checked = RequestFields.model_fields[name]
    return checked.annotation, Field(default=default, description=checked.description)


def _operation(endpoint: Endpoint, request: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {}, **({"text/event-stream": {}} if endpoint.streams else {})}
    streamed = "; with `stream`, as server-sent events" if endpoint.streams else ""
    return {
        "tags": ["inference"],
        "summary": endpoint.summary,
        "description": "Starts the model where it does not run. The answer is the engine's own.",
        "operationId": "post_" + endpoint.path.strip("/").replace("/", "_"),
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {
            "200": {"description": f"The answer{streamed}.", "content": content},
        },
    }


def _load_operation() -> dict[str, Any]:
    request = {"$ref": _REFERENCE.format(model="LoadRequest")}
    fields = {"success": {"type": "boolean"}, "model": {"type": "string"}, "status": {"type": "string"}}
    answer = {"type": "object", "properties": fields, "required": [*fields]}
    return {
        "tags": ["models"],
        "summary": "Load a model",
        "description": "Starts the model where it does not run, and answers when it is ready.",
        "operationId": "post_v1_models_load",
        "requestBody": {"required": True, "content": {"application/json": {"schema": request}}},
        "responses": {
            "200": {"description": "It is ready.", "content": {"application/json": {"schema": answer}}},
            "400": {"description": "A field is wrong; `error.param` names it."},
            "404": {"description": "The model is not in the store."},
            "503": {"description": "Not now; `error.code` says why and Retry-After when to try again."},
        },
    }
