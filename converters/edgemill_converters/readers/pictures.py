"""A folder of samples without labels, for calibration: pictures, or tensors for a model that takes those."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edgemill_converters.readers.complaints import no_folder
from edgemill_core.samples import Sample
from edgemill_core.tensor_files import SUFFIXES as TENSORS
from edgemill_runtimes.frames.decode import SUFFIXES


def read_pictures(path: Path) -> list[Sample]:
    """Every picture directly in ``path``, in the order of their names.

    Raises:
        DataError: there is no such folder.
    """
    return _files(path, "pictures", SUFFIXES)


def read_tensor_folder(path: Path) -> list[Sample]:
    """Every ``.npz`` and ``.npy`` directly in ``path``, in the order of their names.

    Raises:
        DataError: there is no such folder.
    """
    return _files(path, "tensors", TENSORS)


def _files(path: Path, what: str, suffixes: Collection[str]) -> list[Sample]:
    if not path.is_dir():
        raise no_folder(path, what)
    return [Sample(p.name, p) for p in sorted(path.iterdir()) if p.suffix.lower() in suffixes]
