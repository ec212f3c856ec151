"""Which software made a bundle's graphs, and which a box needs to run them: versions and licences of this machine's."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from edgemill_converters.papers.licences import licence_of
from edgemill_core.bundle.card import PartCard
from edgemill_core.engine_input import AnyInput
from edgemill_core.picture_input import PictureInput
from edgemill_runtimes.requirements import installed_runtime

OURS = "edgemill"
_ALWAYS = (OURS, "numpy", "onnx")
_PICTURES = "opencv-python-headless"
IMPORTED_WITH: dict[str, tuple[str, ...]] = {
    "LightGBM": ("lightgbm",),
    "XGBoost": ("xgboost", "xgboost-cpu"),
    "keras": ("keras",),
    "optimum-onnx": ("optimum", "optimum-onnx"),
    "scikit-learn": ("scikit-learn",),
    "skl2onnx": ("skl2onnx",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "tf2onnx": ("tf2onnx",),
    "torch": ("onnxscript", "torch"),
    "transformers": ("torch", "transformers"),
}
"""What read or translated the model, by the words that an importer says of itself (``Imported.framework``,
``exporter``); a package that is not installed did not."""


def tools_used(imported: str, declared: AnyInput, runtimes: Iterable[str]) -> tuple[PartCard, ...]:
    """What the graphs and golden outputs come from, and nothing that is installed here for other reasons.

    Args:
        imported: the model's framework and exporter, in words.
        declared: the model's input.
        runtimes: that gave golden outputs, or plans. ONNX Runtime is always among the tools: graphs are folded with
            it, and it stands in for others.
    """
    found = {*_ALWAYS, *([_PICTURES] if isinstance(declared, PictureInput) else [])}
    found |= {name for word in imported.split() for name in IMPORTED_WITH.get(word, ())}
    found |= {package[0] for name in (*runtimes, "onnxruntime") if (package := installed_runtime(name))}
    return parts(found)


def needed_on_box(runtime: str, declared: AnyInput) -> tuple[PartCard, ...]:
    """What takes part in a verdict on the box, in the versions that the golden outputs were made with."""
    package = installed_runtime(runtime)
    names = {OURS, "numpy", *([package[0]] if package else [runtime])}
    return parts(names | ({_PICTURES} if isinstance(declared, PictureInput) else set()))


def parts(names: Iterable[str]) -> tuple[PartCard, ...]:
    """Each of them that is installed."""
    found = []
    for name in sorted(set(names)):
        try:
            found.append(PartCard(name=name, version=version(name), licence=licence_of(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)
