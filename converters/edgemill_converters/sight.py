"""What reference and variant saw beyond their verdicts: boxes and scores, for metrics of a whole set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemill_converters.masks import mask_of
from edgemill_core.average_precision import ComparedBoxes
from edgemill_core.engine_input import AnyInput
from edgemill_core.evidence import Evidence
from edgemill_core.inspection.labelled import Detections, Labelled, labelled_in
from edgemill_core.metrics import metric_named
from edgemill_core.picture_input import PictureInput
from edgemill_core.pixel_scores import pixel_scores
from edgemill_core.samples import Truth
from edgemill_core.tasks import Embedding, ObjectDetection, OneOfClasses, Segmentation, Task
from edgemill_core.tensors import Array


@dataclass(frozen=True)
class Compared:
    """What the judge is given beside verdicts; ``None`` where the task gives none."""

    boxes: ComparedBoxes | None = None
    evidence: tuple[Evidence, Evidence] | None = None


@dataclass(frozen=True)
class BoxSight:
    """What is labelled in the judge's pictures, and what the reference found; of a detector with labelled boxes."""

    task: ObjectDetection
    labelled: list[Labelled]
    reference: list[Detections]

    @classmethod
    def of(cls, task: Task, declared: AnyInput, truths: Sequence[Truth], reference: Array) -> BoxSight | None:
        """``None`` where there are no boxes to compare."""
        boxes = all(truth.boxes is not None for truth in truths)
        if not boxes or not isinstance(task, ObjectDetection) or not isinstance(declared, PictureInput):
            return None
        labelled = [labelled_in(truth, task.classes, declared) for truth in truths]
        return cls(task, labelled, [task.rank(rows) for rows in reference])

    def beside(self, outputs: Array) -> ComparedBoxes:
        """The same pictures as a variant saw them."""
        return self._compared([self.task.rank(rows) for rows in outputs])

    def itself(self) -> ComparedBoxes:
        """The reference beside itself."""
        return self._compared(self.reference)

    def _compared(self, found: list[Detections]) -> ComparedBoxes:
        return ComparedBoxes(self.labelled, self.reference, found, self.task.classes)


@dataclass(frozen=True)
class Sight:
    """What the reference saw of a set, to put a variant's outputs beside."""

    task: Task
    declared: AnyInput
    truths: Sequence[Truth]
    boxes: BoxSight | None
    reference: Evidence | None

    @classmethod
    def of(
        cls, task: Task, declared: AnyInput, truths: Sequence[Truth], reference: Array, metrics: Sequence[str] = ()
    ) -> Sight:
        """Look at the reference's outputs, ``[samples, …]``.

        Args:
            metrics: that will be asked for; whatever there may be if none is named.
        """
        asked = not metrics or any(metric_named(name).of_set is not None for name in metrics)
        evidence = evidence_of(task, declared, truths, reference) if asked else None
        return cls(task, declared, truths, BoxSight.of(task, declared, truths, reference), evidence)

    def itself(self) -> Compared:
        """The reference beside itself: what a variant of no loss would show."""
        both = None if self.reference is None else (self.reference, self.reference)
        return Compared(self.boxes.itself() if self.boxes is not None else None, both)

    def beside(self, outputs: Array) -> Compared:
        """The same samples as a variant saw them; its outputs, ``[samples, …]``."""
        boxes = self.boxes.beside(outputs) if self.boxes is not None else None
        if self.reference is None:
            return Compared(boxes)
        found = evidence_of(self.task, self.declared, self.truths, outputs)
        return Compared(boxes, (self.reference, found) if found is not None else None)


def evidence_of(task: Task, declared: AnyInput, truths: Sequence[Truth], outputs: Array) -> Evidence | None:
    """What a task's outputs say beyond its verdicts, of a whole set; outputs may be mapped from a file.

    Raises:
        DataError: a mask cannot be read, or is not of its picture.
    """
    if isinstance(task, OneOfClasses):
        return task.scores_of(outputs)
    if isinstance(task, Embedding):
        return task.vectors_of(outputs)
    if isinstance(task, Segmentation) and isinstance(declared, PictureInput):
        height, width = outputs.shape[-2:]
        return pixel_scores(
            len(truths),
            lambda number: task.defect_scores(outputs[number]),
            lambda number: mask_of(truths[number], declared, (width, height)),
            task.listed_from,
        )
    return None
