"""What a configuration makes of the lasting parts: the models' routes, the app, the pipeline.

    configured = configure(folder, lasting)

changes nothing that runs, so that a wrong configuration leaves all as it was. `take_over` then tells the lasting
parts what it says, and whoever hands out `configured.services` decides which requests it is for.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from penstock.config import AppFolder, ModelSettings, Settings
from penstock.config.chunking import ChunkingSettings
from penstock.config.searching import SearchingSettings
from penstock.exchange import LOCAL_PROJECT, Operation
from penstock.gateway.cache.answers import AnswerCache
from penstock.gateway.pipeline import Pipeline, standard_stages
from penstock.gateway.registry import ENGINE_FEATURES, Registry, Target
from penstock.gateway.services import Configuration, Peers, Services
from penstock.knowledge.answer import AnswerSettings, GroundedApp
from penstock.knowledge.calibrating import calibration_for
from penstock.knowledge.gaps.service import Gaps
from penstock.models.encoders.sentence import SentenceEncoder
from penstock.models.local import card_of
from penstock.models.providers.embedding import EmbeddingProvider
from penstock.platform.cache import keys_of, rules_of
from penstock.platform.gaps import judge_of
from penstock.platform.lasting import Lasting, recorder_settings
from penstock.platform.models import build_registry
from penstock.prompts.answer import answer_prompt, followup_prompt, phrasings_prompt, quotes_prompt, rewrite_prompt
from penstock.prompts.template import Prompt
from penstock.releases.release import Release, make_release
from penstock.seams import Embedder

EMBEDDING: frozenset[Operation] = frozenset({"embed", "rerank"})


@dataclass(frozen=True, kw_only=True)
class Configured:
    """One configuration, ready for requests. `app` and `release` are `None` where there is no knowledge."""

    folder: AppFolder
    services: Services
    app: GroundedApp | None
    release: Release | None


def configure(
    folder: AppFolder, lasting: Lasting, live: Configuration | None = None, peers: Peers | None = None
) -> Configured:
    """Everything of a configuration. Raises `ConfigError`."""
    settings, registry = folder.settings, Registry()
    cache = cache_under(settings, lasting)
    pipeline = pipeline_over(registry, lasting, cache)
    app = release = gaps = None
    targets: list[Target] = []
    if lasting.knowledge:
        app, target = grounded(folder, lasting, pipeline)
        release = make_release(folder.name, what_shapes_answers(settings, app, lasting.embedders))
        targets.append(replace(target, release_id=release.id))
        embedder = lasting.embedders[settings.knowledge[app.knowledge.name].embedder]
        gaps = Gaps(lasting.gaps, embedder, judge_of(app), days=settings.traces.keep_days)
    targets += [*build_registry(settings, lasting.models), *embedding(lasting.embedders)]
    now = int(time.time())
    for target in targets:
        registry.add(replace(target, created=now))
    engines = lasting.models.engines_of(registry)
    services = Services(
        app_name=folder.name,
        settings=settings,
        pipeline=pipeline,
        registry=registry,
        traces=lasting.traces,
        knowledge=lasting.knowledge,
        ingestions=lasting.ingestions,
        gaps=gaps,
        engines=engines,
        embedders=lasting.embedders,
        health=lasting.encoder_health | {f"models.{name}": engine.health for name, engine in engines.items()},
        meter=lasting.meter,
        access=lasting.access,
        limits=lasting.limits,
        cache=cache,
        responses=lasting.responses,
        ledger=lasting.ledger,
        admission=lasting.admission,
        configuration=live,
        peers=peers,
    )
    return Configured(folder=folder, services=services, app=app, release=release)


def cache_under(settings: Settings, lasting: Lasting) -> AnswerCache | None:
    """The cache as a configuration wants it used."""
    cache = lasting.cache
    if cache is None:
        return None
    keys = keys_of(settings, lasting.generation, questions=cache.semantic is not None)
    return cache.under(keys, rules_of(settings))


def pipeline_over(registry: Registry, lasting: Lasting, cache: AnswerCache | None) -> Pipeline:
    stages = standard_stages(
        registry,
        lasting.traces,
        lasting.meter,
        admission=lasting.admission,
        limits=lasting.limits,
        cache=cache,
        responses=lasting.responses,
        ledger=lasting.ledger,
    )
    return Pipeline(stages)


def embedding(embedders: Mapping[str, Embedder]) -> Iterator[Target]:
    """The encoders on this machine. Those elsewhere cost money: clients may use them as `[models]` alone."""
    for name, embedder in embedders.items():
        if isinstance(embedder, SentenceEncoder):
            yield Target(name=name, kind="embedder", provider=EmbeddingProvider(embedder), operations=EMBEDDING)


def take_over(settings: Settings, lasting: Lasting) -> None:
    """Tells the lasting parts what a configuration says. Raises `ConfigError`, and has then changed nothing."""
    lasting.access.declare(settings.projects, settings.keys)
    lasting.limits.use(settings.limits)
    lasting.traces.use(recorder_settings(settings))
    lasting.admission.limit = settings.server.max_in_flight


def grounded(folder: AppFolder, lasting: Lasting, pipeline: Pipeline) -> tuple[GroundedApp, Target]:
    """The app itself: what its folder is called, answered from all its documents."""
    settings = folder.settings
    default = settings.models.get("default")
    ((name, base),) = lasting.knowledge.items()
    embedder = lasting.embedders[settings.knowledge[name].embedder]
    local = default is not None and not any(target.remote for target in default.backends)
    answer = AnswerSettings(
        mode=settings.app.mode,
        model="default" if default else "",
        grounds_well=default is not None and grounds_well(default),
        holding="grammar" if local else "schema",
        passages=settings.app.passages,
        rounds=settings.app.rounds,
        rewrites=settings.app.rewrites,
        rewrite_model=rewriter_of(settings),
        rewrite_seconds=settings.app.rewrite_seconds,
        threshold=settings.app.threshold,
        prompt=prompt_of(folder),
        facts=lasting.features,
        quotes=quotes_prompt(folder.root / "prompts" / "quotes.md" if folder.file else None),
    )
    fitted = calibration_for(folder.data, name, embedder.fingerprint, answer.ranked)
    app = GroundedApp(folder.name, base, embedder, pipeline.call, replace(answer, fitted=fitted))
    return app, Target(
        name=folder.name,
        kind="app",
        provider=app,
        operations=frozenset({"chat"}),
        features=ENGINE_FEATURES if answer.composes else frozenset(),
        projects=(LOCAL_PROJECT, *settings.app.projects),
    )


def prompt_of(folder: AppFolder) -> Prompt:
    """The app's own prompt, or the one that comes with Penstock. Raises `ConfigError`."""
    return answer_prompt(folder.root / "prompts" / "answer.md" if folder.file else None)


def answering_models(settings: Settings) -> list[str]:
    """The names in `[models]` that one answer of the app needs."""
    default = settings.models.get("default")
    if settings.app.mode == "auto":
        composes = default is not None and grounds_well(default)
    else:
        composes = settings.app.mode in ("compose", "constrained")
    names = [*(["default"] if composes else []), *([settings.app.rewrite_model] if settings.app.rewrites else [])]
    return [name for name in dict.fromkeys(names) if name in settings.models]


def rewriter_of(settings: Settings) -> str:
    """The name of the model that words searches, "" for none."""
    name = settings.app.rewrite_model
    return name if settings.app.rewrites and name in settings.models else ""


def grounds_well(model: ModelSettings) -> bool:
    """Whether a model's free answers keep to the passages: remote models do, local ones as measured."""
    cards = [card_of(target.use) for target in model.backends if not target.remote]
    return all(card is not None and card.grounds_well for card in cards)


def rewrites_of(settings: Settings) -> dict[str, Any]:
    """What a model words before documents are searched; nothing where none does."""
    prompts = {"follow-ups": followup_prompt, "phrasings": phrasings_prompt, "rounds": rewrite_prompt}
    if not settings.app.rewrites:
        return {}
    return {
        "prompts": {name: prompts[name]().digest for name in settings.app.rewrites},
        "model": settings.app.rewrite_model,
        "seconds": settings.app.rewrite_seconds,
    }


def what_shapes_answers(settings: Settings, app: GroundedApp, embedders: Mapping[str, Embedder]) -> dict[str, Any]:
    """The parts of a release: change one of these, and the same question may get another answer."""
    return {
        "penstock": importlib.metadata.version("penstock"),
        "mode": settings.app.mode,
        "prompt": app.prompt.digest,
        "answers": [app.settings.least, app.settings.fitted and app.settings.fitted.shift, settings.app.rounds],
        "passages": [app.settings.ranked, app.settings.read],
        "rewrites": rewrites_of(settings),
        "models": {
            name: {
                "targets": [(each.use, each.engine, each.context, each.base_url) for each in model.backends],
                "leads_to": [other for _, other in model.leads_to],
                "difficulty": model.difficulty and model.difficulty.model_dump(),
            }
            for name, model in settings.models.items()
        },
        "knowledge": {
            name: {
                "sources": knowledge.sources,
                "exclude": knowledge.exclude,
                "chunking": knowledge.model_dump(include=set(ChunkingSettings.model_fields)),
                "searching": knowledge.model_dump(include=set(SearchingSettings.model_fields)),
                "embedder": embedders[knowledge.embedder].fingerprint,
                "generation": knowledge.generation or "live",
            }
            for name, knowledge in settings.knowledge.items()
        },
    }
