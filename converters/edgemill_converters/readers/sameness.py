"""Which samples are the same: by what a picture or tensors hold; of rows, what is known of them counts too."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from edgemill_core.samples import Sample, Truth

Labels = tuple[float | bool | str | None, ...]
_Key = tuple[str, tuple[bool, ...], Labels]
_UNKNOWN: Labels = (None, None, None)


class Register:
    """Who first had a sample.

    Rows are the same if their numbers are, and whatever labels both have: few features may well be equal, and a table
    for calibration often has no labels at all.
    """

    def __init__(self) -> None:
        self._seen: dict[_Key, tuple[str, str]] = {}

    def first(self, sample: Sample, content: str, role: str, name: str) -> tuple[str, str]:
        """Role and name of the first same sample, which is this one if there was none; sets come one after the other.

        Args:
            content: digest of the sample without its labels.
            role: of the set that it is in.
            name: what to call it by.
        """
        labels = _labels(sample.truth) if sample.fields else _UNKNOWN
        earlier = next((self._seen[key] for key in _alike(content, labels) if key in self._seen), (role, name))
        for key in _entries(content, labels):
            self._seen.setdefault(key, (role, name))
        return earlier


def _labels(truth: Truth | None) -> Labels:
    return (truth.good, truth.outcome, truth.class_name) if truth else _UNKNOWN


def _entries(content: str, labels: Labels) -> Iterator[_Key]:
    """What a sample is found by: which labels it has, and any choice of them."""
    known = tuple(label is not None for label in labels)
    for chosen in product(*((None, label) if label is not None else (None,) for label in labels)):
        yield content, known, chosen


def _alike(content: str, labels: Labels) -> Iterator[_Key]:
    """What a same sample would be found by: of those labels that it may have, the ones that this one has too."""
    for known in product((False, True), repeat=len(labels)):
        yield content, known, tuple(label if has else None for has, label in zip(known, labels, strict=True))
