"""Data readers. A new layout on disk is one new file here and one line in ``READERS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edgemill_converters.readers.coco import read_coco
from edgemill_converters.readers.labels import read_labels
from edgemill_converters.readers.pictures import read_pictures
from edgemill_converters.readers.rows import read_rows
from edgemill_converters.recipe import DataSource, Folder
from edgemill_core.durable import canonical_json, sha256_bytes, sha256_file
from edgemill_core.errors import DataError
from edgemill_core.samples import Sample

READERS: dict[str, Callable[[Path], list[Sample]]] = {
    "labels": read_labels,
    "pictures": read_pictures,
    "rows": read_rows,
    "coco": read_coco,
}


def read_set(recipe: Folder, role: str, source: DataSource) -> list[Sample]:
    """Read one data set of the recipe.

    Raises:
        DataError: nothing there, or a picture is missing.
    """
    reader, where = source.reader
    samples = READERS[reader](recipe.path(where))[: source.take]
    if not samples:
        raise DataError(
            f"the {role} set is empty",
            expected="at least one sample",
            got=f"none in {recipe.path(where)}",
            fix=f"put some there, or mend data: {role}: in the recipe",
        )
    for sample in samples:
        if not sample.picture.is_file():
            raise DataError(
                f"the {role} set names a picture that is not there",
                expected=str(sample.picture),
                got="no such file",
                fix=f"add the picture, or remove {sample.id!r} from the labels",
            )
    return samples


def check_disjoint(sets: Mapping[str, list[Sample]], digest: Callable[[Path], str] = sha256_file) -> None:
    """Refuse sets that share a picture or a row, by content; ``digest`` gives a picture's.

    Raises:
        DataError: naming both sets and both files.
    """
    seen: dict[str, tuple[str, Path]] = {}
    for role, samples in sets.items():
        for sample in samples:
            other = seen.setdefault(_content(sample, digest), (role, sample.picture))
            if other[0] != role:
                raise DataError(
                    f"the {other[0]} and {role} sets share a sample",
                    expected="disjoint sets: a variant tuned on the judge's samples proves nothing",
                    got=f"{other[1]} and {sample.picture} are the same",
                    fix="remove it from one of the sets",
                )


def _content(sample: Sample, digest: Callable[[Path], str]) -> str:
    if sample.fields:
        return sha256_bytes(canonical_json([dict(sample.fields), sample.truth.outcome if sample.truth else None]))
    return digest(sample.picture)
