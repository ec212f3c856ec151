"""scikit-learn's estimators in skops' form, which runs nothing when it is read and whose types are checked."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgemill_converters.importers.base import Imported
from edgemill_converters.importers.objects import import_object
from edgemill_converters.importers.row_source import RowSource
from edgemill_converters.importers.sklearn_model import check_store
from edgemill_converters.recipe import Recipe
from edgemill_core.errors import EdgemillError, MissingPartError, ModelError

_KIND = "a scikit-learn model"
_CHECKED = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
)
"""Types that skops does not vouch for, because scikit-learn trusts the numbers in them, and that are checked here; the
optimizers are plain numbers."""
_LARGEST = 1 << 32
_SWELLING = 200
"""Bytes that a byte may unpack to; of real models it is below 20."""


def import_skops(paths: Sequence[Path], recipe: Recipe) -> Imported:
    """Read what ``skops.io.dump`` wrote. Nothing in it is run; types that skops does not know are refused.

    Raises:
        MissingPartError: skops or scikit-learn is not installed.
        ModelError: no such file, a type that is not trusted, or a model that nobody here imports.
    """
    source = _one(paths, recipe)
    try:
        from skops import io
    except ImportError as error:
        raise _missing("skops", error) from error
    with _read(source):
        _check_size(paths[0])
        unknown = io.get_untrusted_types(file=paths[0])
    foreign = sorted(set(unknown) - set(_CHECKED))
    if foreign and not recipe.model.trust:
        raise source.refused(
            "types that skops knows to be harmless",
            ", ".join(foreign)[:300],
            "if you made the file yourself, write trust: true under model:",
        )
    with _read(source):
        model = io.load(paths[0], trusted=unknown)
    if not recipe.model.trust:
        check_store(source, model)
    return import_object(model, recipe)


def _one(paths: Sequence[Path], recipe: Recipe) -> RowSource:
    source = RowSource(str(paths[0]), _KIND, recipe)
    if len(paths) != 1:
        raise source.refused("one file", f"{len(paths)} files", "name one file under model:")
    return source


@contextmanager
def _read(source: RowSource) -> Iterator[None]:
    """Whatever reading raises, said with the file's name; a model of another scikit-learn is refused too."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*Trying to unpickle estimator.*")
        try:
            yield
        except EdgemillError:
            raise
        except ModuleNotFoundError as error:
            raise _missing(str(error.name), error) from error
        except Exception as error:  # whatever is in the file
            raise _unreadable(source, error) from error


def _unreadable(source: RowSource, error: Exception) -> ModelError:
    said = f"{type(error).__name__}: {str(error).strip()[:300]}"
    return source.refused(
        "a whole file, saved with the scikit-learn that is installed here", said, "save the model again"
    )


def _check_size(path: Path) -> None:
    with zipfile.ZipFile(path) as packed:
        unpacked = sum(member.file_size for member in packed.infolist())
    if unpacked > _LARGEST or unpacked > (1 << 20) + _SWELLING * path.stat().st_size:
        raise ValueError(f"{path.stat().st_size:,} bytes that would unpack to {unpacked:,}")


def _missing(package: str, error: Exception) -> MissingPartError:
    return MissingPartError(
        "the model's file needs a package on the build machine",
        expected=f"the Python package {package}",
        got=str(error),
        fix="pip install 'edgemill[sklearn]'",
    )
