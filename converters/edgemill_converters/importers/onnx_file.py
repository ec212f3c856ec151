"""ONNX files: read, checked, and refused when no runtime here could run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from edgemill_converters.importers.base import Imported
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import ModelError

_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
OLDEST_OPSET = 7
"""ONNX Runtime documents support from opset 7 on (its "Versioning" page)."""
NEWEST_OPSET = 23
"""Newest opset that every pinned runtime reads."""


def import_onnx(paths: Sequence[Path], _: Recipe) -> Imported:
    """Read an ONNX file.

    Raises:
        ModelError: not ONNX, cut off, of an opset or operator domain that the runtimes do not read, or invalid.
    """
    if len(paths) != 1:
        raise ModelError(
            "an ONNX model is one file",
            expected="one file under model:",
            got=f"{len(paths)} files",
            fix="mend the recipe",
        )
    (path,) = paths
    try:
        model = onnx.load(path)
    except (DecodeError, onnx.checker.ValidationError, OSError, ValueError, RuntimeError) as error:
        raise _not_onnx(str(path), f"{path.stat().st_size} bytes: {str(error)[:200]}") from error
    check_graph(str(path), model, f"{path.stat().st_size} bytes")
    return Imported(model)


def import_proto(model: onnx.ModelProto, _: Recipe) -> Imported:
    """Take a graph that a function made.

    Raises:
        ModelError: as for a file.
    """
    check_graph("the function's graph", model, "a graph in memory")
    return Imported(model)


def check_graph(name: str, model: onnx.ModelProto, said: str) -> None:
    """See that the runtimes can read a graph.

    Args:
        name: of the file, for the error.
        said: what is known of it, for the error.

    Raises:
        ModelError: see ``import_onnx``.
    """
    if not model.graph.node or not model.opset_import:
        raise _not_onnx(name, f"{said}: no graph inside")
    _check_opsets(name, model)
    _check_domains(name, model)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{name} is ONNX, but not valid",
            expected="a graph that ONNX's own checker accepts",
            got=str(error).strip()[:400],
            fix="export the model again",
        ) from error


def _not_onnx(name: str, got: str) -> ModelError:
    return ModelError(
        f"{name} is not an ONNX model",
        expected="an ONNX file",
        got=got,
        fix="export the model to ONNX, or check that the file is whole",
    )


def _check_opsets(name: str, model: onnx.ModelProto) -> None:
    for opset in model.opset_import:
        if opset.domain not in _DOMAINS:
            continue
        newest = NEWEST_OPSET if opset.domain in ("", "ai.onnx") else 5
        oldest = OLDEST_OPSET if opset.domain in ("", "ai.onnx") else 1
        if not oldest <= opset.version <= newest:
            raise ModelError(
                f"{name} is of an opset that the runtimes do not read",
                expected=f"opset {oldest} to {newest} of domain {opset.domain or 'ai.onnx'}",
                got=f"opset {opset.version}",
                fix=f"export it again with opset {min(newest, 17)}",
            )


def _check_domains(name: str, model: onnx.ModelProto) -> None:
    foreign = dict.fromkeys(f"{n.op_type} of {n.domain}" for n in model.graph.node if n.domain not in _DOMAINS)
    if foreign:
        raise ModelError(
            f"{name} uses operators that not every runtime has",
            expected="ONNX's own operators",
            got=", ".join(list(foreign)[:5]),
            fix="export the model again without custom operators, and before any runtime has optimised it",
        )
