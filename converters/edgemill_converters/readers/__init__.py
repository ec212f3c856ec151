"""Data readers. A new layout on disk is one new file here, one line in ``READERS`` and one key of ``DataSource``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from edgemill_converters.data_source import DataSource
from edgemill_converters.readers.classes import read_classes
from edgemill_converters.readers.coco import read_coco
from edgemill_converters.readers.evidence import read_evidence
from edgemill_converters.readers.function import read_function
from edgemill_converters.readers.labels import read_labels
from edgemill_converters.readers.mvtec import read_mvtec
from edgemill_converters.readers.pictures import read_pictures, read_tensor_folder
from edgemill_converters.readers.rows import read_rows
from edgemill_converters.readers.sameness import Register
from edgemill_converters.readers.voc import read_voc
from edgemill_converters.readers.yolo import read_yolo
from edgemill_converters.recipe import Folder
from edgemill_core.durable import canonical_json, sha256_bytes, sha256_file
from edgemill_core.errors import DataError
from edgemill_core.samples import Sample

READERS: dict[str, Callable[..., Iterable[Sample]]] = {
    "labels": read_labels,
    "pictures": read_pictures,
    "tensors": read_tensor_folder,
    "rows": read_rows,
    "coco": read_coco,
    "classes": read_classes,
    "mvtec": read_mvtec,
    "yolo": read_yolo,
    "voc": read_voc,
    "evidence": read_evidence,
    "function": read_function,
}


def read_set(recipe: Folder, role: str, source: DataSource) -> list[Sample]:
    """Read one data set of the recipe.

    Raises:
        DataError: nothing there, or a picture is missing.
    """
    samples = samples_of(recipe, role, source)
    for sample in samples:
        if not sample.picture.is_file():
            raise DataError(
                f"the {role} set names a picture that is not there",
                expected=str(sample.picture),
                got="no such file",
                fix=f"add the picture, or remove {sample.id!r} from the labels",
            )
    return samples


def samples_of(recipe: Folder, role: str, source: DataSource) -> list[Sample]:
    """As ``read_set``, whether the pictures are there or not.

    Raises:
        DataError: the labels cannot be read, or there is nothing.
    """
    reader, where, given = source.reader
    options = {name: recipe.path(str(one)) if isinstance(one, Path) else one for name, one in given.items()}
    found = READERS[reader](recipe.path(where), **options)
    low, high = source.share or (0.0, 1.0)
    samples = list(islice((one for one in found if low <= place_of(one.id) < high), source.take))
    if not samples:
        raise DataError(
            f"the {role} set is empty",
            expected="at least one sample",
            got=f"none in {recipe.path(where)}",
            fix=f"put some there, or mend data: {role}: in the recipe",
        )
    return samples


def place_of(name: str) -> float:
    """Where a name falls between 0 and 1: the first 32 bits of its SHA-256."""
    return int(sha256_bytes(name.encode())[:8], 16) / 2**32


def check_disjoint(sets: Mapping[str, Sequence[Sample]], digest: Callable[[Path], str] = sha256_file) -> None:
    """Refuse sets that share a picture or a row, by content; ``digest`` gives a picture's.

    Raises:
        DataError: naming both sets and both files.
    """
    seen = Register()
    for role, samples in sets.items():
        for sample in samples:
            other = seen.first(sample, _content(sample, digest), role, str(sample.picture))
            if other[0] != role:
                raise DataError(
                    f"the {other[0]} and {role} sets share a sample",
                    expected="disjoint sets: a variant tuned on the judge's samples proves nothing",
                    got=f"{other[1]} and {sample.picture} are the same",
                    fix="remove it from one of the sets",
                )


def _content(sample: Sample, digest: Callable[[Path], str]) -> str:
    return sha256_bytes(canonical_json(dict(sample.fields))) if sample.fields else digest(sample.picture)
