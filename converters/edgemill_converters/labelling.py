"""Labels against the task: boxes of classes that it has, good parts by its own rules, and labels that metrics need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import DataError
from edgemill_core.inspection import decide
from edgemill_core.inspection.labelled import as_findings, labelled_in
from edgemill_core.metrics import metric_named
from edgemill_core.picture_input import PictureInput
from edgemill_core.samples import Sample
from edgemill_core.tasks import ObjectDetection, Regression, Task
from edgemill_core.tasks.classification import OneOfClasses
from edgemill_core.verdict import Decision

_WHERE = {
    "boxes": "boxes: name a set with `coco:`, `yolo:` or `voc:`",
    "class_name": "a class: add the column `class` to the labels",
    "mask": "masks: pictures of the same size in which defects are not 0, for bad parts",
    "text": "what is printed on good parts: add the column `printed` to the labels",
    "outcome": "what came about: add the column `outcome`",
}


def settled(samples: Sequence[Sample], task: Task, declared: AnyInput, where: str) -> list[Sample]:
    """Samples that are good or not as the task has it.

    With boxes, a part is good if the task's rules are kept by what is labelled. Where nobody said whether it is, but
    of which class it is, it is good if the task calls that class fit; where only a number came about, if it lies within
    the task's limits of that number, or if the task has none.

    Args:
        samples: those without labels stay as they are.
        task: what is to be told of them.
        declared: which region the model looks at.
        where: the set, for messages.

    Raises:
        DataError: a box of a class that the task does not have, or a class or a number of which it cannot tell
            whether it is good.
    """
    samples = [_of_class(_of_outcome(sample, task, where), task, where) for sample in samples]
    if not isinstance(task, ObjectDetection) or not isinstance(declared, PictureInput):
        return list(samples)
    return [_settle(sample, task, declared, where) for sample in samples]


def _of_outcome(sample: Sample, task: Task, where: str) -> Sample:
    truth = sample.truth
    if truth is None or truth.good is not None or truth.outcome is None:
        return sample
    good = _good_by_outcome(truth.outcome, task)
    if good is None and truth.class_name is None:
        limited = ", ".join(task.within) if isinstance(task, Regression) else ""
        raise DataError(
            f"the {where} set says of {sample.id} what came about, and not whether it is good",
            expected="labels that say what is good" + (f": limits are named for {limited}" if limited else ""),
            got=f"outcome {truth.outcome:g} alone",
            fix="label the set with a column `good`",
        )
    return replace(sample, truth=replace(truth, good=good))


def _good_by_outcome(outcome: float, task: Task) -> bool | None:
    """Outcomes are of the first value; ``None`` if something else decides."""
    if not isinstance(task, Regression):
        return None if "escape_rate" in task.metrics else True
    if not task.within:
        return True
    return task.within[task.values[0]].holds(outcome) if set(task.within) == {task.values[0]} else None


def _of_class(sample: Sample, task: Task, where: str) -> Sample:
    truth = sample.truth
    if truth is None or truth.good is not None:
        return sample
    classes = task.classes if isinstance(task, OneOfClasses) else ()
    if truth.class_name not in classes or not isinstance(task, OneOfClasses):
        raise DataError(
            f"the {where} set says of {sample.id} that it is {truth.class_name}, and not whether it is good",
            expected=f"a class of the task: {' | '.join(classes)}" if classes else "labels that say what is good",
            got=str(truth.class_name),
            fix="name the classes as under task: classes:, or label the set with a column `good`",
        )
    return replace(sample, truth=replace(truth, good=truth.class_name in task.fit))


def _settle(sample: Sample, task: ObjectDetection, declared: PictureInput, where: str) -> Sample:
    truth = sample.truth
    if truth is None or truth.boxes is None:
        return sample
    unknown = sorted({box.kind for box in truth.boxes} - set(task.classes))
    if unknown:
        raise DataError(
            f"the {where} set labels what the task has no class for: {', '.join(unknown)} in {sample.id}",
            expected=" | ".join(task.classes),
            got=", ".join(unknown),
            fix="name the categories as under task: classes:, or remove those annotations",
        )
    ruling = decide(as_findings(labelled_in(truth, task.classes, declared), task.classes), task.rules, task.band)
    return replace(sample, truth=replace(truth, good=ruling.decision is Decision.PASS))


def check_labels(metrics: Sequence[str], samples: Sequence[Sample], where: str) -> None:
    """Refuse a set that lacks the labels without which a budgeted metric says nothing.

    Raises:
        DataError: naming the metric, what is lacking, and how to add it.
    """
    for metric in map(metric_named, metrics):
        lacking = [sample.id for sample in samples if _lacks(sample, metric.needs)]
        # A text or a class may be unknown of a few parts; boxes that nobody drew would all count as false.
        if (metric.needs and len(lacking) == len(samples)) or (metric.ious and lacking):
            raise _lack(metric.name, metric.needs, where, lacking, len(samples))
        if metric.ious and not any(_counts(sample) for sample in samples):
            raise DataError(
                f"the {where} set has no labelled box for {metric.name}",
                expected="at least one box that counts",
                got=f"{len(samples)} pictures without any",
                fix="add pictures that show what is to be found",
            )


def _lacks(sample: Sample, attribute: str) -> bool:
    return bool(attribute) and getattr(sample.truth, attribute, None) in (None, "")


def _counts(sample: Sample) -> bool:
    boxes = sample.truth.boxes if sample.truth is not None else None
    return any(not box.ignored for box in boxes or ())


def _lack(metric: str, needs: str, where: str, lacking: Sequence[str], total: int) -> DataError:
    return DataError(
        f"metric {metric} needs labels that the {where} set does not have",
        expected=_WHERE[needs],
        got=f"{len(lacking)} of {total} samples without, e.g. {lacking[0]}",
        fix=f"add them, or remove {metric} from budget:",
    )
