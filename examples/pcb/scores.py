"""What every engine finds on the held-out boards, kind by kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import edgemill
from edgemill_converters.readers.coco import read_coco
from edgemill_core.average_precision import curves_of
from edgemill_core.average_precision.curves import average_precision
from edgemill_core.inspection.labelled import labelled_in
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Sample
from edgemill_core.tasks import ObjectDetection
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import load
from edgemill_runtimes.frames import prepare, read_picture
from edgemill_runtimes.pipelines import ModelPipeline

SAME = 0.33
"""Intersection over union from which on a box is the labelled one; the authors' rule."""
Finds = Callable[[Sample], Array]


def by_kind(boxes: Path, task: ObjectDetection, declared: PictureInput, finds: Finds) -> dict[str, float]:
    """Average precision of each kind, and ``map``, their mean; ``finds`` gives ``float[boxes, 4 + kinds]``."""
    samples = read_coco(boxes)
    labelled = [labelled_in(sample.truth, task.classes, declared) for sample in samples if sample.truth]
    (curves,) = curves_of([task.rank(finds(sample)) for sample in samples], labelled, [SAME])
    once = np.ones((len(samples), 1), np.float32)
    kinds = np.unique(np.concatenate([picture.kinds for picture in labelled]))
    areas = [float(average_precision(curve, once)[0]) for curve in curves]
    each = {task.classes[kind]: area for kind, area in zip(kinds, areas, strict=True)}
    return {**each, "map": float(np.mean(areas))}


def of_bundle(bundle: edgemill.Bundle, runtime: str, boxes: Path) -> dict[str, float]:
    """Of the bundle's variant for ``runtime``."""
    with edgemill.open_pipeline(bundle, runtime) as inspect:
        assert isinstance(inspect, ModelPipeline)

        def finds(sample: Sample) -> Array:
            return inspect.outputs(prepare(read_picture(sample.picture), inspect.declared))[inspect.task.output][0]

        return by_kind(boxes, inspect.task, inspect.declared, finds)


def of_model(model: Path, runtime: str, task: ObjectDetection, boxes: Path) -> dict[str, float]:
    """Of the trained model itself, read by hand: a check on all that the build does to it."""
    with load(runtime, model) as engine:
        (told,) = engine.inputs
        height, width = told.shape[2:]

        def finds(sample: Sample) -> Array:
            picture = read_picture(sample.picture) / np.float32(255)
            (rows,) = engine.run(
                {told.name: np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)}
            ).values()
            x, y, wide, high = rows[0, :4]
            corners = [(x - wide / 2) / width, (y - high / 2) / height, (x + wide / 2) / width, (y + high / 2) / height]
            return np.stack([*corners, *rows[0, 4:]], axis=1)

        return by_kind(boxes, task, PictureInput(size=(width, height)), finds)


def table(rows: dict[str, dict[str, float]]) -> str:
    """In hundredths, a line an engine."""
    kinds = list(next(iter(rows.values())))
    lines = [f"{'average precision at ' + str(SAME):<32}" + "".join(f"{kind:>10}" for kind in kinds)]
    lines += [f"{name:<32}" + "".join(f"{100 * row[kind]:>10.1f}" for kind in kinds) for name, row in rows.items()]
    return "\n".join(lines)
