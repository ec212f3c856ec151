"""What is to be said of a data set: how large it is, and how many of each kind it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from edgemill_core.bundle.card import SetCard
from edgemill_core.samples import Sample, Truth


def set_cards(sets: Mapping[str, Sequence[Sample]], digests: Mapping[str, str]) -> tuple[SetCard, ...]:
    """Of each set that is not empty.

    Args:
        sets: by role.
        digests: as ``set_digests.digests_of`` names them.
    """
    return tuple(
        SetCard(role=role, samples=len(samples), digest=digests[f"{role} set"], balance=balance(samples))
        for role, samples in sets.items()
        if samples
    )


def balance(samples: Sequence[Sample]) -> dict[str, int]:
    """How many there are of each kind, most first: good and bad parts, classes, and boxes of each class.

    Numbers that came about are of no kind.
    """
    found: Counter[str] = Counter()
    for sample in samples:
        found.update(_kinds(sample.truth))
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _kinds(truth: Truth | None) -> list[str]:
    if truth is None:
        return ["not labelled"]
    if truth.class_name is not None:
        return [truth.class_name]
    if truth.outcome is not None:
        return []
    part = "good" if truth.good else "bad"
    return [part, *(f"box: {box.kind}" for box in truth.boxes or () if not box.ignored)]
