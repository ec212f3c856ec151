"""What is compared: a graph on a runtime, or a bundle's variant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgemill_core.bundle import Bundle, VariantEntry, open_bundle
from edgemill_core.errors import EngineError
from edgemill_core.precision_hint import PrecisionHint

DEFAULT_RUNTIME = "onnxruntime"


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        name: for people.
        graph: ONNX file.
        runtime: name of the runtime.
        device: the runtime's own name of it.
        bundle: where the graph comes from, if from one.
        precision_hint: what the bundle says that its engine must be told.
    """

    name: str
    graph: Path
    runtime: str
    device: str
    bundle: Bundle | None = None
    precision_hint: PrecisionHint | None = None


def read_side(text: str) -> Side:
    """``PATH``, ``PATH@RUNTIME``, ``BUNDLE@VARIANT``, ``CHAIN@STAGE/VARIANT``, each with ``:DEVICE`` behind if
    it is to be another.

    A bare graph runs on ONNX Runtime and the CPU if nothing else is said, a bundle's best variant where it was built
    for.

    Raises:
        BundleError: it is a folder, but no bundle that may be trusted.
        EngineError: the bundle has no such variant.
    """
    path, at, place = (text, "", "") if Path(text).exists() else text.rpartition("@")
    if not at:
        path, place = text, ""
    which, _, device = place.partition(":")
    if not Path(path).is_dir():
        runtime = which or DEFAULT_RUNTIME
        return Side(f"{Path(path).name} on {runtime}", Path(path), runtime, device or "CPU")
    bundle, which = _alone(open_bundle(path), which)
    variant = _variant(bundle, which)
    model = "" if bundle.model.name == bundle.manifest.name else f"{bundle.model.name}, "
    named = f"{bundle.manifest.name} {bundle.manifest.version}, {model}{variant.name}"
    named += f" on {device}" if device else ""
    place = device or variant.device
    return Side(named, bundle.path(variant.graph), variant.runtime, place, bundle, variant.precision_hint)


def _alone(bundle: Bundle, which: str) -> tuple[Bundle, str]:
    """One model of a chain, named before a slash, and what is said of its variant."""
    if bundle.chain is None:
        return bundle, which
    stage, _, variant = which.partition("/")
    models = {one.model.name: one for one in bundle.alone()}
    if stage not in models:
        raise EngineError(
            "a chain is compared one model at a time",
            expected=" | ".join(f"@{name}" for name in models) + ", with /VARIANT behind if it is not to be the best",
            got=f"@{stage}" if stage else "no model named",
            fix="name the same model of both sides behind the @",
        )
    return models[stage], variant


def _variant(bundle: Bundle, which: str) -> VariantEntry:
    variants = bundle.model.variants
    found = [one for one in variants if which in ("", one.name, one.runtime)]
    if not found:
        raise EngineError(
            f"the bundle has no variant {which!r}",
            expected=" | ".join(one.name for one in variants),
            got=which,
            fix="name one of these behind the @",
        )
    return found[0]
