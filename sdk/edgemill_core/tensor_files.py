"""Samples of named tensors on disk: NumPy's ``.npz``, or ``.npy`` where there is only one. Pickles are never loaded."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from edgemill_core.errors import InputError
from edgemill_core.tensor_input import TensorInput
from edgemill_core.tensors import Array

SUFFIXES = (".npz", ".npy")
_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    MemoryError,  # a header that claims far more than there is
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy and zipfile raise over files that are broken somewhere."""
_HEADER = 1 << 16
"""Bytes that a member may be larger than its values: NumPy's header."""


def read_tensors(path: Path, declared: TensorInput) -> Array:
    """The engine's input of the sample in ``path``, see ``TensorInput.prepare``.

    Nothing that is larger than what is declared is unpacked or mapped.

    Raises:
        InputError: no such file, cut off, no file of NumPy's, or other tensors in it than those declared.
    """
    try:
        found = _packed(path, declared) if path.suffix.lower() == ".npz" else _alone(path, declared)
    except _BROKEN as error:
        raise InputError(
            f"{path} cannot be read",
            expected=f".npz with the arrays {', '.join(declared.names)}, written with numpy.savez",
            got=str(error)[:300] or type(error).__name__,
            fix="write the sample again",
        ) from error
    try:
        return declared.prepare(found)
    except InputError as error:
        raise InputError(f"{path}: {error.what}", expected=error.expected, got=error.got, fix=error.fix) from error


def _packed(path: Path, declared: TensorInput) -> dict[str, Array]:
    with zipfile.ZipFile(path) as packed:
        for member in packed.infolist():
            name = member.filename.removesuffix(".npy")
            if name not in declared.tensors:
                raise ValueError(f"an array called {name!r}")
            _check_size(name, member.file_size, declared)
    with np.load(path, allow_pickle=False) as file:
        return {name: np.asarray(file[name]) for name in file.files}


def _alone(path: Path, declared: TensorInput) -> dict[str, Array]:
    if len(declared.names) != 1:
        raise ValueError("one array, where the model takes several")
    (name,) = declared.names
    _check_size(name, path.stat().st_size, declared)
    return {name: np.load(path, allow_pickle=False)}


def _check_size(name: str, size: int, declared: TensorInput) -> None:
    most = 8 * declared.tensors[name].size + _HEADER  # of the widest type
    if size > most:
        raise ValueError(f"{name!r} takes {size:,} bytes, where at most {most:,} can be right")
