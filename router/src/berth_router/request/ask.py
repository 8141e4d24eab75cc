"""The parsed request: what it asks of Berth, and the body that the engine gets."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import orjson
from pydantic import ValidationError

from berth_api.engine_settings import LEAST_CONTEXT, MOST_CONTEXT, ContextSize
from berth_api.inference import COMPLETIONS, samples_only_when_told, stops_at_window
from berth_api.model_deployment import Backend, Device, ModelDeploymentSpec
from berth_formats.abilities import Abilities
from berth_router.errors import InvalidRequestError
from berth_router.repairs.repair import Repair
from berth_router.repairs.table import repair_request, repaired_content
from berth_router.request.aliases import NO_ALIASES, Aliases
from berth_router.request.defaults import AnswerDefaults, estimated_tokens, tokens_left
from berth_router.request.endpoints import INFERENCE_PATHS, Endpoint
from berth_router.request.engine_body import SAMPLING_TURNED_ON, UNSAFE_NAMES, engine_body
from berth_router.request.fields import NO_LIMIT, BerthFields, RequestFields
from berth_router.request.model_names import is_model_path, model_path
from berth_router.request.profiles import ENGINE_OF_SETTING, Profile, has_layers_without_gpu, setting_of_other_engine

_STATED_FIELDS = tuple(Profile.model_fields)
Stated = tuple[Backend | None, Device | None, ContextSize | None, int | None, float | None, int | None]
"""What a request states about the deployment, in the order of Profile's fields."""

_ASKS_KEPT = 4096

_SMALL_BYTES = 256 * 1024
_MOST_CONTAINERS = 500_000
_MOST_VALUES = 2_000_000
"""Limits of a body longer than _SMALL_BYTES. They are counted before parsing, so brackets within strings count too.

In memory a value takes up to a hundred times its bytes in JSON. The longest contexts of models are some million tokens.
"""

_DEEPEST = 254
"""The deepest nesting that orjson writes."""

_NOT_FOR_ENGINES = UNSAFE_NAMES.union(name for name in BerthFields.model_fields if name != "model")
_is_checked = frozenset(RequestFields.model_fields).__contains__


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks of Berth. A field that is None is not stated, and constrains nothing."""

    model: str
    """The path in the model store."""
    backend: Backend | None = None
    device: Device | None = None
    ttl: int | None = None
    gpu_layers: int | None = None
    context_size: ContextSize | None = None
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    path: str | None = None
    """The inference path. The engine must have it."""
    stream: bool = False
    wished_context_size: int | None = None
    """Tokens of context that a deployment of llama.cpp must have at least. Others are not constrained."""
    wished_gpu_layers: int | None = None
    """Constrains nothing: what a deployment of llama.cpp on a GPU gets if it must be started."""
    implied_by: str | None = field(default=None, compare=False)
    """The field that decides the engine, where `backend` is not stated."""
    otherwise: "Ask | None" = field(default=None, compare=False)
    """What to ask instead where the store has no such model, and none runs. None: nothing."""


@dataclass(slots=True)
class InferenceRequest:
    """A parsed request."""

    ask: Ask
    name: str
    """The model's name as the caller wrote it. The answer has the same name."""
    content: bytes
    """What every engine gets, without the model's name. It is JSON: parsed, it would take up to 30 times the memory."""
    samples: bool
    """Whether the answer is sampled, so that chance has a part in it, and the model's configuration has none."""
    repairs: tuple[Repair, ...] = ()
    """What may have to be repaired, which depends on the engine."""
    open_limit: str | None = None
    """The field of the limit of tokens, if the answer may have as many as the context leaves."""
    stated_limit: int = 0
    """The limit of tokens that the request states; 0: none."""

    def tokens(self) -> int:
        """About how many tokens of context the prompt and the answer take."""
        return estimated_tokens(self.content) + self.stated_limit

    def body_for(self, spec: ModelDeploymentSpec, name: str, window: int | None = None) -> bytes:
        """The body for the engine of this deployment.

        `name`: the model's name in the engine. `window`: the tokens of its context, where they are known. Raises
        InvalidRequestError where that engine would ignore what the request asks.
        """
        content = repaired_content(self.content, self.repairs, spec.backend, window) if self.repairs else self.content
        fields: dict[str, Any] = {"model": name}
        if self.samples and samples_only_when_told(spec):
            fields |= SAMPLING_TURNED_ON
        if self.open_limit:
            # A null, and not nothing: vLLM's completions would end after 16 tokens.
            fields[self.open_limit] = None if stops_at_window(spec.backend) else tokens_left(content, window)
        return b"%b,%b" % (orjson.dumps(fields)[:-1], content[1:])


Checked = tuple[Ask, str, bool, int]
"""Of a body: what it asks of Berth, the model's name, whether the answer is sampled, and the limit of tokens or 0."""


class RequestParser:
    """Parses requests. `profiles`: those that a request can name. `max_ttl`: see `effective_ttl`.

    `abilities`: what the model at a path can do, None where that is not known.
    """

    def __init__(
        self,
        profiles: Mapping[str, Profile],
        max_ttl: int = 0,
        aliases: Aliases = NO_ALIASES,
        abilities: Callable[[str], Abilities | None] = lambda _: None,
        defaults: AnswerDefaults = AnswerDefaults(),  # noqa: B008 (it is frozen)
    ) -> None:
        self._profiles = profiles
        self._abilities = abilities
        self._max_ttl = max_ttl
        self._aliases = aliases
        self._defaults = defaults
        self._thinking_defaults = replace(defaults, max_tokens=None)
        # Most requests ask of Berth what others have asked before. The cache is typed: without that, true would be 1.
        self._ask = lru_cache(maxsize=_ASKS_KEPT)(self._new_ask)
        self._check_cached = lru_cache(maxsize=_ASKS_KEPT, typed=True)(self._check_items)
        self._wishing = lru_cache(maxsize=_ASKS_KEPT)(_with_wishes)

    def parse(self, raw: bytes, endpoint: Endpoint) -> InferenceRequest:
        """Splits a body into what it asks of Berth and what the engine gets. Raises InvalidRequestError."""
        body = json_object(raw)
        try:
            names = tuple(filter(_is_checked, body))
            checked = self._check_cached(endpoint.path, names, *map(body.get, names))
        except (ValidationError, TypeError):  # a wrong value, or one that cannot be hashed, which is wrong too
            checked = self._check(as_written(raw, body), endpoint)
        ask, name, samples, stated_limit = checked
        endpoint.check_prompt(body)
        abilities = self._abilities(ask.model)
        defaults = self._defaults_for(ask, abilities) if endpoint.samples else self._defaults
        engine_body(body, _NOT_FOR_ENGINES, endpoint, defaults)
        limit = endpoint.output_limit
        open_limit = None if limit in body else limit
        repairs = repair_request(endpoint.path, raw, body, abilities)
        return InferenceRequest(ask, name, _without_model(body), samples, repairs, open_limit, stated_limit)

    def _defaults_for(self, ask: Ask, abilities: Abilities | None) -> AnswerDefaults:
        """The defaults of an answer. Thoughts must not use up a limit of tokens that the request does not know of.

        `abilities`: those of the model that is asked, where they are known.
        """
        if abilities is None and ask.otherwise:  # most likely the default model answers
            abilities = self._abilities(ask.otherwise.model)
        return self._thinking_defaults if abilities and abilities.thinking else self._defaults

    def abilities_of(self, ask: Ask) -> Abilities | None:
        """What the model can do that is asked, or the default model in its place. None: that is not known."""
        return self._abilities(ask.model) or (self._abilities(ask.otherwise.model) if ask.otherwise else None)

    def parse_fields(self, fields: Mapping[str, Any], endpoint: Endpoint) -> Ask:
        """What a request without a prompt asks of Berth. Raises InvalidRequestError."""
        return self._check(dict(fields), endpoint)[0]

    def with_wishes(self, ask: Ask, context_size: int | None, gpu_layers: int | None) -> Ask:
        """The same, with wishes for a deployment of llama.cpp, in tokens and in layers; within the API's bounds."""
        if (context_size is None or ask.context_size) and gpu_layers is None:
            return ask
        return self._wishing(ask, context_size, gpu_layers)

    def _check_items(self, path: str, names: Sequence[str], *values: Any) -> Checked:
        """As `_check`, of the names and values of checked fields. Raises ValidationError too."""
        fields = dict(zip(names, values, strict=True))
        return self._ask_of_fields(RequestFields.model_validate(fields), INFERENCE_PATHS[path])

    def _check(self, body: dict[str, Any], endpoint: Endpoint) -> Checked:
        """What is checked of the body. Raises InvalidRequestError."""
        try:
            fields = RequestFields.model_validate(body)
        except ValidationError as error:
            raise invalid_field(error) from None
        return self._ask_of_fields(fields, endpoint)

    def _ask_of_fields(self, fields: RequestFields, endpoint: Endpoint) -> Checked:
        if endpoint.output_limit_required and fields.max_tokens is None:
            raise InvalidRequestError("`max_tokens` is missing.", param="max_tokens", code="missing_required_parameter")
        _check_limits(fields, endpoint)
        stated = (
            fields.backend,
            fields.device,
            fields.n_ctx,
            fields.n_gpu_layers,
            fields.gpu_memory_utilization,
            fields.max_model_len,
        )
        ask = self._ask(fields.model, stated, fields.ttl, endpoint.path, bool(fields.stream) and endpoint.streams)
        temperature = self._defaults.temperature if fields.temperature is None else fields.temperature
        limit = fields.max_tokens or fields.max_completion_tokens or fields.max_output_tokens or 0
        return ask, fields.model, endpoint.samples and bool(temperature), max(limit, 0)

    def parse_name(self, name: str, backend: Backend | None = None, device: Device | None = None) -> Ask:
        """What a model's name alone asks, with or without a profile. Raises InvalidRequestError."""
        return self._new_ask(name, (backend, device, None, None, None, None), None, None, stream=False)

    def _new_ask(self, name: str, stated: Stated, ttl: int | None, path: str | None, stream: bool) -> Ask:
        target = self._aliases.target(name)
        default = None if target or name.startswith("/") else self._aliases.default
        if default is None:
            return self._ask_of_model(target or name, stated, ttl, path, stream)
        try:
            otherwise = self._ask_of_model(default, stated, ttl, path, stream)
        except InvalidRequestError:  # the default model's profile excludes what the request states
            return self._ask_of_model(name, stated, ttl, path, stream)
        if not is_model_path(name.rpartition("@")[0] or name):  # what cannot be a model's name is one that none has
            return otherwise
        return replace(self._ask_of_model(name, stated, ttl, path, stream), otherwise=otherwise)

    def _ask_of_model(self, name: str, stated: Stated, ttl: int | None, path: str | None, stream: bool) -> Ask:
        settings = Profile.model_construct(None, **dict(zip(_STATED_FIELDS, stated, strict=True)))
        model, at, profile = name.rpartition("@")
        if at:
            settings = _with_profile(settings, profile, self._profiles)
        else:
            model = name
            _refuse_contradiction(_stated(settings), "")
        implied_by = None if settings.backend else _setting_of_an_engine(settings)
        return Ask(
            model=model_path(model),
            backend=ENGINE_OF_SETTING[implied_by] if implied_by else settings.backend,
            device=settings.device,
            ttl=effective_ttl(ttl, self._max_ttl),
            gpu_layers=settings.n_gpu_layers,
            context_size=settings.n_ctx,
            gpu_memory_utilization=settings.gpu_memory_utilization,
            max_model_len=settings.max_model_len,
            path=path,
            stream=stream,
            implied_by=implied_by,
        )


def effective_ttl(ttl: int | None, longest: int) -> int | None:
    """The TTL that a request gets, in seconds; 0 is for ever. `longest`: the longest that it may have, 0 for any."""
    if ttl is None or not longest:
        return ttl
    return min(ttl or longest, longest)


def invalid_field(error: ValidationError) -> InvalidRequestError:
    """The error for the first wrong field of a body: its name, and what would be right."""
    first = error.errors(include_url=False, include_context=False)[0]
    param = ".".join(str(part) for part in first["loc"]) or None
    message = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "missing":
        return InvalidRequestError(f"`{param}` is missing.", param=param, code="missing_required_parameter")
    return InvalidRequestError(
        f"`{param}` is not valid: {message}; got {str(first['input'])[:100]!r}.", param=param, code="invalid_value"
    )


def json_object(raw: bytes) -> dict[str, Any]:
    """The JSON object that is a request's body, read within bounds. Raises InvalidRequestError."""
    if len(raw) > _SMALL_BYTES and (
        raw.count(b"[") + raw.count(b"{") > _MOST_CONTAINERS or raw.count(b",") > _MOST_VALUES
    ):
        raise InvalidRequestError(
            f"The body is more complex than this router takes: more than {_MOST_CONTAINERS} lists and objects,"
            f" or {_MOST_VALUES} values.",
            code="too_complex",
        )
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"The body is not JSON: {error}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.", code="invalid_json")
    return body  # pyright: ignore[reportUnknownVariableType] (JSON: string keys, any values)


def as_written(raw: bytes, body: dict[str, Any]) -> dict[str, Any]:
    """The body, which is `raw` parsed, with whole numbers beyond 64 bits, of which orjson has made floats.

    Only so is a number that is too large called that, and shown as it was written. An engine gets none: orjson cannot
    write it.
    """
    if len(raw) > _SMALL_BYTES:
        return body
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):  # thousands of digits, or of levels
        return body


def _without_model(body: dict[str, Any]) -> bytes:
    """The body as JSON, without the model. It has at least a prompt. Raises InvalidRequestError."""
    del body["model"]
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        # Everything that was parsed from JSON can be written again, unless it is nested too deeply.
        raise InvalidRequestError(f"The body is nested deeper than {_DEEPEST} levels.", code="invalid_json") from error


_LIMIT_FIELDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def _check_limits(fields: RequestFields, endpoint: Endpoint) -> None:
    """Raises InvalidRequestError where a limit of tokens is one that the path does not have."""
    allowed = (NO_LIMIT, 0) if endpoint.path == COMPLETIONS else (NO_LIMIT,) if endpoint.samples else ()
    for name in _LIMIT_FIELDS:
        limit = getattr(fields, name)
        if limit is not None and limit < 1 and limit not in allowed:
            or_none = ", or -1 for as many as the context leaves" if allowed else ""
            raise InvalidRequestError(
                f"`{name}` must be greater than or equal to 1{or_none}; got {limit}.", param=name, code="invalid_value"
            )


def _with_wishes(ask: Ask, context_size: int | None, gpu_layers: int | None) -> Ask:
    context = None if context_size is None else min(max(context_size, LEAST_CONTEXT), MOST_CONTEXT)
    otherwise = _with_wishes(ask.otherwise, context_size, gpu_layers) if ask.otherwise else None
    return replace(ask, wished_context_size=context, wished_gpu_layers=gpu_layers, otherwise=otherwise)


def _stated(settings: Profile) -> dict[str, Any]:
    return {name: value for name in _STATED_FIELDS if (value := getattr(settings, name)) is not None}


def _with_profile(settings: Profile, name: str, profiles: Mapping[str, Profile]) -> Profile:
    """What the request states, and what the profile adds. Raises InvalidRequestError."""
    profile = profiles.get(name)
    if profile is None:
        there = f"It has {', '.join(sorted(profiles))}" if profiles else "It has none"
        raise InvalidRequestError(
            f"`model` names the profile {name[:100]!r}, which this installation does not have. {there}.",
            param="model",
            code="profile_not_found",
        )
    stated = _stated(settings)
    _refuse_contradiction(stated, "")
    together = {**_stated(profile), **stated}
    _refuse_contradiction(together, f" The profile {name} states {', '.join(_stated(profile))}.")
    return Profile.model_construct(**together)


def _refuse_contradiction(stated: Mapping[str, Any], origin: str) -> None:
    """Raises InvalidRequestError where settings exclude each other, or the backend, or the device."""
    if has_layers_without_gpu(stated):
        raise InvalidRequestError(
            f"`n_gpu_layers` is {stated['n_gpu_layers']}, and layers can be on a GPU only with device cuda;"
            f" with cpu it is 0 or left out.{origin}",
            param="n_gpu_layers",
            code="invalid_value",
        )
    misplaced = setting_of_other_engine(stated)
    if misplaced is None:
        return
    engine = ENGINE_OF_SETTING[misplaced]
    other = next((name for name in ENGINE_OF_SETTING if name in stated and ENGINE_OF_SETTING[name] is not engine), "")
    beside = (
        f"backend {stated['backend']}"
        if "backend" in stated
        else f"`{other}`, a setting of backend {ENGINE_OF_SETTING[other]}"
    )
    raise InvalidRequestError(
        f"`{misplaced}` is a setting of backend {engine}; leave it out with {beside}.{origin}",
        param=misplaced,
        code="invalid_value",
    )


def _setting_of_an_engine(settings: Profile) -> str | None:
    """The first stated setting that only one engine has. None: there is none."""
    return next((name for name in ENGINE_OF_SETTING if getattr(settings, name) is not None), None)
