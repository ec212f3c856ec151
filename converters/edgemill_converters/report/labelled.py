"""What is really in a picture, as boxes that a report can draw and count."""

from __future__ import annotations

from collections.abc import Sequence

from edgemill_converters.recipe import Recipe
from edgemill_core.engine_input import AnyInput
from edgemill_core.inspection import Finding
from edgemill_core.inspection.labelled import as_findings, labelled_in
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Sample


def really_there(sample: Sample, classes: Sequence[str], declared: AnyInput) -> list[Finding] | None:
    """The labelled boxes that count, in shares of the region that the model looks at.

    Returns:
        ``None`` where nobody labelled boxes.
    """
    truth = sample.truth
    if truth is None or truth.boxes is None or truth.size is None or not isinstance(declared, PictureInput):
        return None
    known = {box.kind for box in truth.boxes}
    names = [*classes, *sorted(known - set(classes))]
    return as_findings(labelled_in(truth, names, declared), names)


def class_names(recipe: Recipe) -> tuple[str, ...]:
    """The task's classes; none where it has none."""
    return tuple(recipe.task.get("classes", ()))
