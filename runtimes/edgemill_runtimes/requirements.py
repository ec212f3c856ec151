"""What a variant needs, held against what is installed here, before anything is loaded."""

from __future__ import annotations

import platform
from importlib import metadata

from edgemill_core.bundle import VariantEntry
from edgemill_core.bundle.requirements import Box, Lack, lacks
from edgemill_core.errors import MissingPartError
from edgemill_runtimes.engines import EXTRAS

DISTRIBUTIONS = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    "openvino": ("openvino",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
    "tensorrt_rtx": ("tensorrt-rtx-cu13", "tensorrt_rtx"),
    "torch": ("torch",),
}
"""Which packages bring a runtime: one of each row is installed."""


def installed_runtime(runtime: str) -> tuple[str, str] | None:
    """The package that brings ``runtime``, and its version; ``None`` where none is installed, or it is no package."""
    for name in DISTRIBUTIONS.get(runtime) or _added(runtime):
        try:
            return name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def this_box(runtime: str) -> Box:
    """What this box has of what a variant on ``runtime`` may need."""
    found = installed_runtime(runtime)
    return Box(platform.python_version(), found[1] if found else None)


def lacking(variant: VariantEntry, box: Box | None = None) -> tuple[Lack, ...]:
    """What a box lacks for ``variant``, as far as versions tell; this box if none is given."""
    if variant.requires is None:
        return ()
    return lacks(variant.requires, variant.runtime, box or this_box(variant.runtime))


def check_requirements(variant: VariantEntry, box: Box | None = None) -> None:
    """Refuse a variant that a box lacks something for.

    Raises:
        MissingPartError: says what, and which version would do.
    """
    found = lacking(variant, box)
    if found:
        extra = EXTRAS.get(variant.runtime)
        install = f"pip install --upgrade 'edgemill[{extra}]'" if extra else f"update {variant.runtime}"
        raise MissingPartError(
            f"this box cannot run {variant.name}: {'; '.join(one.what for one in found)}",
            expected="; ".join(one.expected for one in found),
            got="; ".join(one.got for one in found),
            fix=f"{install}; or use another variant of the bundle here",
        )


def _added(runtime: str) -> tuple[str, ...]:
    """Packages of a runtime that others have added."""
    points = metadata.entry_points(group="edgemill.runtimes")
    return tuple(sorted({point.dist.name for point in points if point.name == runtime and point.dist}))
