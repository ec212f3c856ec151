"""scikit-learn's estimators and pipelines.

Trees are written here, exactly; whatever else, and what stands before the trees in a pipeline, skl2onnx translates,
without operators of ``ai.onnx.ml`` where ONNX's own do, so that every runtime takes it. All of it is in float64 if the
recipe asks for ``fp64`` alone; otherwise the last step is in float32, and what scales the columns before it is not: a
large offset is taken off before anything is rounded.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx.utils import Extractor

from edgemill_converters.importers.base import Imported, named
from edgemill_converters.importers.graph_writer import ML, ML_OPSET, OPSET, ROW, GraphWriter
from edgemill_converters.importers.row_source import RowSource
from edgemill_converters.importers.sklearn_trees import trees_in, writer_of
from edgemill_converters.importers.tree import NoTree
from edgemill_converters.importers.tree_sums import EXPORTER, Number
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import MissingPartError, ModelError
from edgemill_core.tensors import Array

_KIND = "a scikit-learn model"
_AVOIDED = {"LinearClassifier", "LinearRegressor", "Scaler", "Normalizer"}
"""Operators of float32 and of few runtimes; skl2onnx writes plain ones where it may not use them."""


def import_sklearn_object(model: Any, recipe: Recipe) -> Imported:
    """A fitted estimator, or a pipeline of such.

    Raises:
        MissingPartError: scikit-learn or skl2onnx is not installed.
        ModelError: not fitted, other features or classes than the recipe's, or nothing that is translated.
    """
    source = RowSource.of_object(model, _KIND, recipe)
    _check(source, model)
    last = _parted(model)[1]
    exact = writer_of(last) is not None
    wide = exact or all(target.precisions == ("fp64",) for target in recipe.targets)
    try:
        writer, given, columns = _written(source, model, np.float64 if wide else np.float32)
    except NoTree as error:
        raise source.refused("trees as scikit-learn grows them", str(error), "train without it") from error
    proto = writer.model(given, columns, np.float64 if wide else np.float32)
    source.check_runtimes(proto)
    native = partial(_native, model, hasattr(model, "predict_proba"))
    return Imported(proto, native, named("scikit-learn"), EXPORTER if exact else named("skl2onnx"))


def _written(source: RowSource, model: Any, dtype: Number) -> tuple[GraphWriter, str, int]:
    """The graph, the name of what it gives, and its columns."""
    before, last = _parted(model)
    features, write = len(source.declared.features), writer_of(last)
    writer = GraphWriter(features)
    try:
        through = ROW if before is None else _translated(source, writer, ROW, before, features, np.float64)[0]
        if write is not None:
            return writer, *write(writer, through, last)
        row = through if dtype is np.float64 else writer.cast(through, dtype)
        return writer, *_translated(source, writer, row, last, int(last.n_features_in_), dtype)
    except ModelError:
        if write is not None or before is None or dtype is np.float64:
            raise
        writer = GraphWriter(features)  # some steps skl2onnx writes in float32 alone
        return writer, *_translated(source, writer, writer.cast(ROW, dtype), model, features, dtype)


def check_store(source: RowSource, model: Any) -> None:
    """Refuse a model of an untrusted file with trees where nobody looks at them before scikit-learn walks them.

    Raises:
        ModelError: there are such.
    """
    last = _parted(model)[1]
    write, stores = writer_of(last), trees_in(model)
    if len(stores) != (0 if write is None else len(trees_in(last))):
        raise source.refused(
            "trees in the last step alone, where they are checked",
            f"{len(stores)} trees elsewhere too",
            "if you made the file yourself, write trust: true under model:",
        )


def _native(model: Any, classes: bool, feeds: Mapping[str, Array]) -> list[Array]:
    from joblib import parallel_config

    rows = np.asarray(feeds[ROW], np.float64)
    with parallel_config("sequential"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*feature names.*")
        found = model.predict_proba(rows) if classes else model.predict(rows)
    return [np.asarray(found).reshape(len(rows), -1)]


def _check(source: RowSource, model: Any) -> None:
    source.check_alone()
    before, last = _parted(model)
    first = last if before is None else before.steps[0][1]
    if not hasattr(first, "n_features_in_") or not hasattr(last, "n_features_in_"):
        raise source.refused("a fitted estimator", f"{type(model).__name__} that was not fitted", "fit it first")
    source.check_features([str(name) for name in getattr(first, "feature_names_in_", ())], int(first.n_features_in_))
    if not (hasattr(model, "predict") or hasattr(model, "predict_proba")):
        raise source.refused("a model that predicts", type(model).__name__, "give the whole pipeline")
    if hasattr(model, "classes_") and isinstance(model.classes_, list):
        raise source.refused("one answer a row", f"{len(model.classes_)} answers", "train one model an answer")
    if hasattr(model, "classes_") and not hasattr(model, "predict_proba"):
        raise source.refused(
            "a classifier that gives probabilities",
            f"{type(last).__name__}, which gives none",
            "fit it within sklearn.calibration.CalibratedClassifierCV, or with probabilities",
        )
    if hasattr(model, "classes_"):
        source.check_classes(len(model.classes_), list(model.classes_))
    elif source.classifies:
        raise source.refused("a classifier, as the task has classes", type(last).__name__, "mend task:")


def _parted(model: Any) -> tuple[Any, Any]:
    """What comes before the last step of a pipeline, if anything does, and the last step."""
    if type(model).__name__ != "Pipeline":
        return None, model
    real = [(name, step) for name, step in model.steps if step is not None and step != "passthrough"]
    if len(real) < 2:
        return None, real[-1][1] if real else model
    return type(model)(real[:-1]), real[-1][1]


def _translated(
    source: RowSource, writer: GraphWriter, row: str, model: Any, features: int, dtype: Number
) -> tuple[str, int]:
    """What skl2onnx makes of it: the name of its output, and its columns."""
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    except ImportError as error:
        raise _missing("skl2onnx", error) from error
    kind = DoubleTensorType if dtype is np.float64 else FloatTensorType
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            proto = convert_sklearn(
                model,
                initial_types=[(ROW, kind([None, features]))],
                options={id(model): {"zipmap": False}} if hasattr(model, "classes_") else None,
                target_opset={"": OPSET, ML: ML_OPSET},
                black_op=_AVOIDED,
            )
            onnx.checker.check_model(proto, full_check=True)
        except Exception as error:  # whatever it raises on a step that it does not know
            raise source.refused(
                f"steps that skl2onnx translates in {np.dtype(dtype).name}",
                f"{type(error).__name__}: {str(error).strip()[:300]}",
                "leave the step out of the pipeline, name columns by number, or export the model to ONNX yourself",
            ) from error
    output = proto.graph.output[1 if hasattr(model, "predict_proba") else 0]
    part = Extractor(proto).extract_model([ROW], [output.name])
    return writer.take(part.graph, row, output.name), _columns(model, output)


def _columns(model: Any, output: onnx.ValueInfoProto) -> int:
    if hasattr(model, "predict_proba"):
        return len(model.classes_)
    dims = output.type.tensor_type.shape.dim
    return int(dims[1].dim_value) if len(dims) == 2 and dims[1].dim_value else 1


def _missing(package: str, error: ImportError) -> MissingPartError:
    return MissingPartError(
        "a scikit-learn model needs scikit-learn and skl2onnx on the build machine",
        expected=f"the Python package {package}",
        got=str(error),
        fix="pip install 'edgemill[sklearn]'",
    )
