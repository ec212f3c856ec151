"""The lot-code job: its data, its recipe, and the variant that is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from edgemill.demo.labels import ALPHABET, REGION, generate
from edgemill_converters.build import build
from edgemill_converters.candidates import ExtraVariant
from edgemill_converters.result import BuildResult
from edgemill_core.samples import Sample

PLANTED = "planted"
_SHRINK = 0.1
"""The planted variant's ranges are a tenth of the calibrated ones, as after calibrating on a dark room."""


@dataclass(frozen=True)
class SetSizes:
    """How many label pictures each set of the build gets.

    Attributes:
        judge: half of them bad; 368 of each kind is the least that can show 1 point at 97.5 %, which is what two
            candidates for one target must show each where the budget says 95 %.
    """

    calibration: int = 48
    judge: int = 760


def write_recipe(out: Path) -> Path:
    """Write the recipe that the demo builds; it is an ordinary one, to copy from."""
    x, y, width, height = REGION
    recipe = {
        "name": "lot-code",
        "version": "1.0.0",
        "task": {"name": "text-recognition", "alphabet": ALPHABET, "min_confidence": 0.5},
        "model": {"package": "rapidocr", "file": "models/PP-OCRv6_rec_small.onnx", "classes": "character"},
        "input": {
            "region": {"x": x, "y": y, "width": width, "height": height},
            "size": [320, 48],
            "resize": {"method": "area"},
            "colour": "bgr",
            "normalise": {"mean": [127.5], "std": [127.5]},
        },
        "data": {"calibration": {"labels": "data/calibration"}, "judge": {"labels": "data/judge"}},
        "budget": [
            {"metric": "escape_rate", "max_drop": 0.01, "confidence": 0.95},
            {"metric": "overkill_rate", "max_drop": 0.03, "confidence": 0.95},
        ],
        "targets": [{"runtime": "onnxruntime"}, {"runtime": "openvino"}],
        "objective": "latency_p50",
    }
    path = out / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=100), encoding="utf-8")
    return path


def make_sets(out: Path, sizes: SetSizes, parts: int, seed: int) -> list[Sample]:
    """Generate calibration, judge and line pictures from three streams of ``seed``; return the line's parts."""
    generate(out / "data" / "calibration", sizes.calibration, 3 * seed, bad_share=0.2, prefix="calibration")
    generate(out / "data" / "judge", sizes.judge, 3 * seed + 1, bad_share=0.5, prefix="judge")
    return generate(out / "line", parts, 3 * seed + 2, bad_share=0.2, prefix="part")


def build_lot_code(out: Path, progress: Callable[[str], None]) -> BuildResult:
    """Build the bundle, with one INT8 variant whose quantization plan was spoiled on purpose."""
    spoiled = ExtraVariant(PLANTED, 0, lambda plan: plan.with_ranges_scaled(_SHRINK))
    return build(write_recipe(out), out, progress=progress, extra=[spoiled])
