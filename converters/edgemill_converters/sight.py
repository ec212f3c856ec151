"""What reference and variant saw beyond their verdicts: boxes and scores, for metrics of a whole set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemill_core.average_precision import ComparedBoxes
from edgemill_core.engine_input import AnyInput
from edgemill_core.evidence import Evidence
from edgemill_core.inspection.labelled import Detections, Labelled, labelled_in
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Truth
from edgemill_core.tasks import ObjectDetection, OneOfClasses, Task
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
    boxes: BoxSight | None
    reference: Evidence | None

    @classmethod
    def of(cls, task: Task, declared: AnyInput, truths: Sequence[Truth], reference: Array) -> Sight:
        """``reference`` are its outputs, ``[samples, …]``."""
        return cls(task, BoxSight.of(task, declared, truths, reference), evidence_of(task, reference))

    def itself(self) -> Compared:
        """The reference beside itself: what a variant of no loss would show."""
        both = None if self.reference is None else (self.reference, self.reference)
        return Compared(self.boxes.itself() if self.boxes is not None else None, both)

    def beside(self, outputs: Array) -> Compared:
        """The same samples as a variant saw them; its outputs, ``[samples, …]``."""
        boxes = self.boxes.beside(outputs) if self.boxes is not None else None
        found = evidence_of(self.task, outputs)
        both = None if self.reference is None or found is None else (self.reference, found)
        return Compared(boxes, both)


def evidence_of(task: Task, outputs: Array) -> Evidence | None:
    """What a task's outputs say beyond its verdicts, of a whole set."""
    return task.scores_of(outputs) if isinstance(task, OneOfClasses) else None
