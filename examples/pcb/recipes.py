"""What is to be built of the two models, and within which budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from layout import KINDS

TARGETS = [
    {"runtime": "onnxruntime"},
    {"runtime": "openvino"},
    # A line with an RTX 30 or 40: plans are built ahead (pip install 'edgemill[tensorrt]'), and the box proves them.
    # {"runtime": "tensorrt_rtx", "compute_capability": ["8.6", "8.9"]},
]


def detector(size: tuple[int, int]) -> dict[str, Any]:
    """Boxes; at 0.33 of intersection over union, which is the rule of the data set's authors."""
    return {
        "name": "pcb-detector",
        "task": {
            "name": "object-detection",
            "classes": list(KINDS),
            "head": "yolov8",
            "band": {"uncertain_from": 0.3, "sure_from": 0.5},
        },
        "model": "detector.onnx",
        "input": _input(size),
        "data": {
            "calibration": {"coco": "calibration/boxes.json"},
            "search": {"coco": "search/boxes.json"},
            "judge": {"coco": "judge/boxes.json"},
        },
        "budget": [
            {"metric": "map@0.33", "max_drop": 0.01, "floor": 0.9},
            # So many parts as there are cannot show a point; what a board of several defects says may be off by this.
            {"metric": "escape_rate", "max_drop": 0.05},
            {"metric": "overkill_rate", "max_drop": 0.05},
        ],
    }


def classifier(side: int) -> dict[str, Any]:
    """The kind of a patch, or good."""
    return {
        "name": "pcb-classifier",
        "task": {
            "name": "image-classification",
            "classes": [*KINDS, "good"],
            "fit": ["good"],
            "limits": {"reject_below": 0.4, "pass_from": 0.6},
        },
        "model": "classifier.onnx",
        "input": _input((side, side)),
        "data": {
            "calibration": {"labels": "calibration/patches.csv", "take": 256},
            "search": {"labels": "search/patches.csv"},
            "judge": {"labels": "judge/patches.csv"},
        },
        "budget": [
            {"metric": "class_rate", "max_drop": 0.01, "floor": 0.9},
            {"metric": "escape_rate", "max_drop": 0.01},
            {"metric": "overkill_rate", "max_drop": 0.01},
        ],
    }


def write(recipe: dict[str, Any], folder: Path) -> Path:
    """As ``NAME.yaml`` in ``folder``."""
    path = folder / f"{recipe['name']}.yaml"
    whole = {"name": recipe["name"], "version": "1.0.0", **recipe, "targets": TARGETS}
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path


def _input(size: tuple[int, int]) -> dict[str, Any]:
    return {"size": list(size), "colour": "bgr", "normalise": {"mean": [0], "std": [255]}}
