"""Every name that a request can have, and what is known of the model behind it."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from berth_api.engine_settings import AUTO
from berth_api.model_deployment import MODEL_STORE, ModelDeployment, ModelDeploymentSpec, Phase
from berth_router.errors import InvalidRequestError, UnknownModelError
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.resolve import Create, Policy, match, matches, resolve
from berth_router.management.inventory import READ_SECONDS
from berth_router.management.model_entries import Listed, ModelEntry, entry
from berth_router.request.aliases import Aliases
from berth_router.request.ask import Ask, RequestParser
from berth_router.request.model_names import MODELS_LISTED
from berth_router.store.descriptions import Described, Descriptions
from berth_router.store.model_store import ModelLookup, ModelStore


@dataclass(frozen=True, slots=True)
class _Known:
    """A model of the store, or of a deployment with another path."""

    path: str
    created: int
    described: Described | None
    deployments: tuple[ModelDeployment, ...]


class Catalog:
    """The names that requests can have. `profiles`: the names of those that a request can add to a model's."""

    def __init__(
        self,
        store: ModelStore,
        descriptions: Descriptions,
        deployments: Deployments,
        parser: RequestParser,
        profiles: Collection[str],
        aliases: Aliases,
        policy: Policy,
    ) -> None:
        self._store = store
        self._descriptions = descriptions
        self._deployments = deployments
        self._parser = parser
        self._profiles = sorted(profiles)
        self._aliases = aliases
        self._aliases_of: dict[str, list[str]] = {}
        """By the name of the model, with its profile."""
        for alias, target in aliases.names():
            self._aliases_of.setdefault(_bare(target), []).append(alias)
        self._policy = policy
        self._made_from: tuple[Sequence[Described], int] | None = None
        self._entries: Sequence[ModelEntry] = ()

    async def entries(self) -> Sequence[ModelEntry]:
        """All of them, by model. The same object as before where nothing has changed."""
        models = await self._descriptions.of(await self._store.models(), READ_SECONDS)
        made_from = (models, self._deployments.changes)
        if self._made_from is None or self._made_from[0] is not models or self._made_from[1] != made_from[1]:
            known = self._known(models)
            # A thousand models with ten profiles take a second, in which requests go on.
            self._entries = await asyncio.to_thread(lambda: list(self._all(known)))
            self._made_from = made_from
        return self._entries

    async def entry(self, name: str) -> ModelEntry:
        """The one with this name. Raises UnknownModelError."""
        models = await self._descriptions.of(await self._store.models(), READ_SECONDS)
        known = {each.path: each for each in self._known(models)}
        why = f"The model {name[:200]!r} is not in the model store."
        default: Ask | None = None
        for spelling in _spellings(name):
            try:
                ask = self._parser.parse_name(spelling)
            except InvalidRequestError as error:  # a profile that there is not, or what cannot be a name
                why = error.message.removesuffix(f" {MODELS_LISTED}")
                continue
            if ask.model in known:
                return entry(self._listed(_bare(spelling), ask, known[ask.model]))
            default = default or ask.otherwise
        if default and default.model in known:
            return entry(self._listed(name, default, known[default.model]))
        raise UnknownModelError(f"{why} {MODELS_LISTED}", param="model", code="model_not_found", model=name[:200])

    def _known(self, models: Iterable[Described]) -> Sequence[_Known]:
        """What there is, by path."""
        found = {
            each.model.path: _Known(
                each.model.path, each.model.modified, each, tuple(self._deployments.of_model(each.model.path))
            )
            for each in models
        }
        for deployment in self._deployments.all():
            path = deployment.spec.model
            if path not in found and not deployment.deleting:
                created = int(deployment.created_at.timestamp())
                found[path] = _Known(path, created, None, tuple(self._deployments.of_model(path)))
        return [found[path] for path in sorted(found)]

    def _all(self, models: Sequence[_Known]) -> Iterator[ModelEntry]:
        for known in models:
            yield entry(self._listed(self._name(known.path), Ask(known.path), known))
            for profile in self._profiles:
                path = f"{known.path}@{profile}"
                ask = self._parser.parse_name(path)
                if self._spec(ask, known):
                    yield entry(self._listed(self._name(path), ask, known))
        by_path = {known.path: known for known in models}
        for alias, target in self._aliases.names():
            ask = self._parser.parse_name(target)
            if ask.model in by_path:
                yield entry(self._listed(alias, ask, by_path[ask.model]))

    def _name(self, path: str) -> str:
        """What to ask for: the bare name, unless an alias stands for another model by that name."""
        bare = _bare(path)
        return bare if self._aliases.target(bare) in (None, bare, path) else path

    def _listed(self, name: str, ask: Ask, known: _Known) -> Listed:
        described = known.described
        found = matches(ask, known.deployments)
        able = tuple(one for one in found if one.status.phase is not Phase.STALLED)
        stated = ask.max_model_len if ask.context_size in (None, AUTO) else ask.context_size
        return Listed(
            name,
            tuple(self._aliases_of.get(_bare(name), ())),
            known.created,
            described.description if described else None,
            match(ask, found),
            self._spec(ask, known),
            able,
            stated,
        )

    def _spec(self, ask: Ask, known: _Known) -> ModelDeploymentSpec | None:
        """What a request would start where nothing runs. None: the installation has no engine for that."""
        formats = known.described.model.formats if known.described else frozenset[str]()
        decision = resolve(ask, (), ModelLookup(exists=True, weights=formats), self._policy)
        return decision.spec if isinstance(decision, Create) else None


def _bare(name: str) -> str:
    """The name without the store's path."""
    return name.removeprefix(f"{MODEL_STORE}/")


def _spellings(name: str) -> Iterator[str]:
    """The names that a path of the API can mean. Some proxies make one slash of the two before a whole path."""
    yield name
    if name.startswith(MODEL_STORE.removeprefix("/") + "/"):
        yield f"/{name}"
