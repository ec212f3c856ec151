"""Lay out a chain's bundle: each stage's files as they were built, and golden frames for the whole."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edgemill_converters.chaining.card import chain_card
from edgemill_converters.chaining.recipe import ChainRecipe
from edgemill_converters.chaining.result import RuntimeResult
from edgemill_converters.papers.writing import write_papers
from edgemill_core.bundle import (
    MIN_AGENT,
    PAPERS,
    Bundle,
    Chain,
    FileEntry,
    GoldenFrames,
    Manifest,
    ModelEntry,
    Origin,
    VariantEntry,
    describe_files,
    schema_version,
    write_bundle,
)
from edgemill_core.durable import canonical_json
from edgemill_core.samples import Sample
from edgemill_runtimes.frames import encode_png, read_picture
from edgemill_runtimes.pipeline import variant_for

GOLDEN_FRAMES = 8


def write(
    folder: Path,
    target: Path,
    recipe: ChainRecipe,
    bundles: Sequence[Bundle],
    samples: Sequence[Sample],
    results: Sequence[RuntimeResult],
    measurements: dict[str, object],
    report: Path,
) -> Bundle:
    """Copy the stages into ``folder``, add golden frames and records, seal it, move it to ``target``."""
    runtimes = [result.runtime for result in results]
    models: list[ModelEntry] = []
    files: dict[str, FileEntry] = {}
    records: dict[str, FileEntry] = {}
    for source, bundle in zip(recipe.chain, bundles, strict=True):
        place = f"stages/{source.name}"
        model = _model(source.name, place, bundle, runtimes)
        models.append(model)
        papers = [f"{place}/{name}" for name in PAPERS if name in bundle.manifest.files]
        for name in [*_files_of(model), *papers]:
            files[name] = bundle.manifest.files[name.removeprefix(f"{place}/")]
        records |= {f"{place}/{name}": entry for name, entry in bundle.manifest.records.items()}
        for name in [*_files_of(model), *papers, *(f"{place}/{name}" for name in bundle.manifest.records)]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path(name.removeprefix(f"{place}/")), folder / name)
    golden = _golden(folder, samples, results)
    (folder / "measurements.json").write_bytes(canonical_json(measurements))
    (folder / "report.html").write_bytes(report.read_bytes())
    files |= describe_files(folder, list(golden.frames))
    card = chain_card(recipe, bundles, samples, results)
    manifest = Manifest(
        schema_version=schema_version(models, chain=True),
        min_agent=MIN_AGENT,
        name=recipe.name,
        version=recipe.version,
        models=tuple(models),
        files=write_papers(folder, card, recipe, models, files),
        records={**records, **describe_files(folder, ["measurements.json", "report.html"])},
        chain=Chain(
            stages=tuple(source.stage for source in recipe.chain),
            origins=tuple(_origin(bundle) for bundle in bundles),
            runtimes=tuple(runtimes),
            golden=golden,
        ),
    )
    return write_bundle(folder, manifest, target)


def _model(name: str, place: str, bundle: Bundle, runtimes: Sequence[str]) -> ModelEntry:
    """A stage's model with its best variant for each runtime, all file names below ``place``."""
    golden = bundle.model.golden
    moved = golden.model_copy(
        update={
            "inputs": f"{place}/{golden.inputs}",
            "frames": tuple(f"{place}/{frame}" for frame in golden.frames),
        }
    )
    variants = tuple(_variant(place, variant_for(bundle, runtime)) for runtime in runtimes)
    return bundle.model.model_copy(update={"name": name, "golden": moved, "variants": variants})


def _variant(place: str, variant: VariantEntry) -> VariantEntry:
    golden = variant.golden.model_copy(update={"outputs": f"{place}/{variant.golden.outputs}"})
    moved = {"graph": f"{place}/{variant.graph}", "weights": f"{place}/{variant.weights}", "golden": golden}
    return variant.model_copy(update=moved)


def _files_of(model: ModelEntry) -> list[str]:
    own = {name for one in model.variants for name in one.files}
    return sorted({model.golden.inputs, *model.golden.frames, *own})


def _origin(bundle: Bundle) -> Origin:
    manifest = bundle.manifest
    return Origin(name=manifest.name, version=manifest.version, content_digest=manifest.content_digest)


def _golden(folder: Path, samples: Sequence[Sample], results: Sequence[RuntimeResult]) -> GoldenFrames:
    indices = golden_indices([bool(sample.truth and sample.truth.good) for sample in samples])
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    frames = []
    for number, index in enumerate(indices):
        frames.append(f"golden/frame-{number}.png")
        (folder / frames[-1]).write_bytes(encode_png(read_picture(samples[index].picture)))
    return GoldenFrames(
        frames=tuple(frames),
        contexts=tuple(dict(samples[index].context) for index in indices),
        good=tuple(bool(truth and truth.good) for truth in (samples[index].truth for index in indices)),
        decisions={one.runtime: tuple(one.verdicts[index].decision.value for index in indices) for one in results},
        looks={one.runtime: tuple(one.looks[index] for index in indices) for one in results},
    )


def golden_indices(good: Sequence[bool]) -> list[int]:
    """Which samples become golden: half of them good and half bad, evenly spread, at most ``GOLDEN_FRAMES``."""
    chosen: list[int] = []
    for kind in (True, False):
        those = [index for index, one in enumerate(good) if one is kind]
        count = min(GOLDEN_FRAMES // 2, len(those))
        chosen += [those[place * len(those) // count] for place in range(count)]
    return sorted(chosen)
