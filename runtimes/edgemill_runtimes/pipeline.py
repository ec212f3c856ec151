"""Bundle + picture or numbers → verdict: open a bundle of one model, or of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgemill_core.bundle import Bundle, VariantEntry
from edgemill_core.chain import Stage
from edgemill_core.errors import EdgemillError, EngineError, MissingPartError, NoPlanError
from edgemill_runtimes.engines import EngineSettings, load
from edgemill_runtimes.engines.precision_hints import check_machine
from edgemill_runtimes.engines.settings import Mode
from edgemill_runtimes.machine import Machine, this_machine
from edgemill_runtimes.pipelines import ChainPipeline, ModelPipeline, OpenStage, Pipeline
from edgemill_runtimes.requirements import check_requirements

if TYPE_CHECKING:
    from edgemill_runtimes.isolation.process import Isolation

__all__ = [
    "ChainPipeline",
    "ModelPipeline",
    "Pipeline",
    "engines_of",
    "open_chain",
    "open_model",
    "open_pipeline",
    "variant_for",
]


def open_pipeline(
    bundle: Bundle,
    runtime: str | None = None,
    settings: EngineSettings | None = None,
    isolated: bool | Isolation = False,
    mode: Mode = "latency",
    machine: Machine | None = None,
    plans: Path | None = None,
) -> Pipeline:
    """Load the bundle's best variant, or the one for ``runtime``; ``isolated`` as for ``load``.

    ``mode`` says what an engine is tuned for, on the variant's own device; ``settings`` say all of it, save the
    precision, which is the variant's own. ``machine`` is the box; read from it if not given. ``plans`` is the folder of
    what TensorRT compiled for this box, where ``settings`` do not name it.

    Without ``runtime`` those of the manifest are tried in its order, best first; only a variant whose runtime is *not
    installed* or *too old*, or which the processor *cannot compute*, is passed over, and if none is left the error
    names them all. Where GPU and runtime are here and only the plan is missing, that is an error, as after an update of
    the driver: one compiles it, or names another runtime. All stages of a chain run on one runtime.

    Raises:
        EngineError: the bundle has no variant for ``runtime``.
        MissingPartError: no runtime of the bundle's variants is installed here, or it is too old for its graph, or the
            processor lacks what its variants compute in.
        NoPlanError: all is here for a variant of TensorRT's but its plan.
    """
    variants = bundle.model.variants if runtime is None else (variant_for(bundle, runtime),)
    missing: list[EdgemillError] = []
    for variant in variants:
        try:
            _check_box(bundle, variant, machine)
            return _pipeline(
                bundle, variant, settings or EngineSettings.for_variant(variant, None, mode, plans), isolated
            )
        except NoPlanError as error:
            if runtime is None:
                error.fix = f"{error.fix}; or name another runtime of the bundle"
            raise
        except MissingPartError as error:
            if runtime is not None:
                raise
            missing.append(error)
    raise MissingPartError(
        "none of the bundle's runtimes can be had here",
        expected=" | ".join(variant.runtime for variant in bundle.model.variants),
        got="; ".join(error.what for error in missing),
        fix=missing[0].fix,
    )


def variant_for(bundle: Bundle, runtime: str) -> VariantEntry:
    """The bundle's variant for ``runtime``.

    Raises:
        EngineError: there is none.
    """
    for variant in bundle.model.variants:
        if variant.runtime == runtime:
            return variant
    raise EngineError(
        f"the bundle has no variant for {runtime!r}",
        expected=" | ".join(variant.runtime for variant in bundle.model.variants),
        got=runtime,
        fix=f"name one of these, or add `- {{runtime: {runtime}}}` under targets: in the recipe and build again",
    )


def engines_of(bundle: Bundle, runtime: str) -> dict[str, dict[str, str]]:
    """Which engine each stage of a chain runs, by its digests, and which bundle it comes from."""
    assert bundle.chain is not None
    found = {}
    for stage, origin, one in zip(bundle.chain.stages, bundle.chain.origins, bundle.alone(), strict=True):
        variant, files = variant_for(one, runtime), bundle.manifest.files
        digests = {"graph": files[variant.graph].sha256, "weights": files[variant.weights].sha256}
        known = {"bundle": origin.name, "version": origin.version, "digest": origin.content_digest}
        found[stage.name] = {**known, "variant": variant.name, **digests}
    return found


def open_model(
    bundle: Bundle, variant: VariantEntry, settings: EngineSettings | None = None, isolated: bool | Isolation = False
) -> ModelPipeline:
    """Load one variant of a bundle of one model, in its own precision; raises as ``load`` does.

    Raises:
        MissingPartError: this box lacks something that the variant says it needs.
    """
    check_requirements(variant)
    settings = replace(settings or EngineSettings(variant.device), precision_hint=variant.precision_hint)
    engine = load(variant.runtime, bundle.path(variant.graph), settings, isolated)
    return ModelPipeline(engine, bundle.model.input, bundle.task)


def open_chain(
    stages: Sequence[Stage],
    bundles: Sequence[Bundle],
    runtime: str,
    settings: EngineSettings | None = None,
    isolated: bool | Isolation = False,
) -> ChainPipeline:
    """Load the engine of each stage, each from a bundle of one model; those that are open are closed if one fails."""
    with ExitStack() as stack:
        opened = [
            OpenStage(stage, stack.enter_context(open_model(one, variant_for(one, runtime), settings, isolated)))
            for stage, one in zip(stages, bundles, strict=True)
        ]
        stack.pop_all()
    return ChainPipeline(opened)


def _check_box(bundle: Bundle, variant: VariantEntry, machine: Machine | None) -> None:
    """Refuse a variant, or those of a chain's stages, that this box lacks something for, before one is loaded.

    A bundle of one model may have several of one runtime, e.g. one a device: of these ``variant`` alone is looked at.
    """
    chained = bundle.chain is not None
    for one in [variant_for(alone, variant.runtime) for alone in bundle.alone()] if chained else [variant]:
        check_requirements(one)
        if one.precision_hint is not None:
            check_machine(one.precision_hint, one.device, machine or this_machine())


def _pipeline(bundle: Bundle, variant: VariantEntry, settings: EngineSettings, isolated: bool | Isolation) -> Pipeline:
    if bundle.chain is not None:
        return open_chain(bundle.chain.stages, bundle.alone(), variant.runtime, settings, isolated)
    return open_model(bundle, variant, settings, isolated)
