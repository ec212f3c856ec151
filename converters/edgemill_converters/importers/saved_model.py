"""TensorFlow SavedModels, translated by tf2onnx; the loaded signature is the reference."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgemill_converters.importers.archives import refused
from edgemill_converters.importers.base import Imported, Native, named, one_by_one
from edgemill_converters.importers.cleaning import cleaned
from edgemill_converters.importers.locating import SAVED_MODEL
from edgemill_converters.importers.versions import readable_by
from edgemill_converters.recipe import Recipe
from edgemill_core.engine_input import AnyInput
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.tensors import Array

_OPSET = 18
_KIND = "a SavedModel of TensorFlow 2"
_SIGNATURE = "serving_default"
_REACHING_OUT = re.compile(
    r"ReadFile|WriteFile|MatchingFiles\w*|(Eager)?PyFunc(Stateless)?|Debug\w+|PrintV2|CreateSummary(File|Db)Writer"
    r"|\w*Reader\w*|DatasetToTFRecord|(Load|Save|Snapshot|Cache|DataService|Register|Sql|CSV|LMDB)Dataset\w*"
    r"|(ExperimentalCSV|ExperimentalSql|ExperimentalLMDB|TextLine|TFRecord|FixedLength\w*)Dataset\w*"
)
"""Operations that reach files, the network or Python; a model has no need of them, and what loads it may run them.

Those that write and merge checkpoints are none: TensorFlow puts a function of them beside every model that it saves.
"""


def import_saved_model(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Import a folder that ``tf.saved_model.save`` or Keras's ``Model.export`` wrote.

    Raises:
        MissingPartError: TensorFlow or tf2onnx is not installed.
        ModelError: damaged, without a signature to serve, or it cannot be translated.
    """
    (folder,) = paths
    tensorflow = _library()
    _check_operations(folder)
    try:
        model = tensorflow.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow has no common root
        raise refused(folder, _KIND, f"{type(error).__name__}: {error}") from error
    signatures = dict(model.signatures)
    if _SIGNATURE not in signatures:
        fix = "save it with a signature: tf.saved_model.save(model, folder, signatures=…)"
        raise refused(folder, f"a signature {_SIGNATURE}", ", ".join(signatures) or "none", fix)
    opset = min(_OPSET, readable_by(recipe.targets).opset)
    outputs = sorted(signatures[_SIGNATURE].structured_outputs)
    return Imported(
        lambda: _translated(folder, opset, outputs),
        _native(tensorflow, model, outputs, recipe.input),
        named("tensorflow", "tensorflow") if _has("tensorflow") else named("tensorflow-cpu", "tensorflow"),
        named("tf2onnx"),
    )


def _library() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import tensorflow
        import tf2onnx  # noqa: F401 (needed when it is translated; better said now)
    except ImportError as error:
        raise MissingPartError(
            "a SavedModel needs TensorFlow on the build machine",
            expected="the Python packages tensorflow-cpu and tf2onnx",
            got=str(error),
            fix="pip install 'edgemill[tensorflow]'",
        ) from error
    return tensorflow


def _check_operations(folder: Path) -> None:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = folder / SAVED_MODEL
    try:
        found = SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise refused(path, _KIND, f"{path.stat().st_size} bytes: {error}") from error
    reaching = reaching_out(_operations(found))
    if reaching:
        raise refused(path, "a model that computes, and reaches no files", ", ".join(reaching), "save it without these")


def reaching_out(operations: Iterable[str]) -> list[str]:
    """Those that reach further than a model may, sorted."""
    return sorted({name for name in operations if _REACHING_OUT.fullmatch(name)})


def _operations(model: Any) -> Iterator[str]:
    for part in model.meta_graphs:
        yield from (node.op for node in part.graph_def.node)
        for function in part.graph_def.library.function:
            yield from (node.op for node in function.node_def)


def _translated(folder: Path, opset: int, outputs: Sequence[str]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, "model.onnx")
        order = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(folder), "--output", str(made)]
        order += ["--opset", str(opset), "--tag", "serve", "--signature_def", _SIGNATURE]
        done = subprocess.run(order, capture_output=True, text=True, errors="replace")
        if done.returncode or not made.is_file():
            raise ModelError(
                f"tf2onnx cannot translate {folder}",
                expected="operations that it knows",
                got=done.stderr.strip()[-400:],
                fix="change what it names in the model, or export it to ONNX by other means",
            )
        return cleaned(onnx.load(made), outputs)


def _native(tensorflow: Any, model: Any, outputs: Sequence[str], declared: AnyInput) -> Native:
    def native(feeds: Mapping[str, Array]) -> list[Array]:
        signature = model.signatures[_SIGNATURE]  # which lives as long as its model
        found = signature(**{name: tensorflow.constant(value) for name, value in feeds.items()})
        return [np.array(found[name]) for name in outputs]

    return one_by_one(native, declared)


def _has(distribution: str) -> bool:
    return named(distribution) != distribution
