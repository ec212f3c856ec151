"""Samples that a function of the recipe's author gives: ``package.module:function``, called without arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from edgemill_converters.readers.plain_samples import plain_sample
from edgemill_core.errors import DataError, EdgemillError
from edgemill_core.samples import Sample


def read_function(path: Path) -> Iterator[Sample]:
    """Run the function, and give what it gives, one after the other.

    Args:
        path: its last part is the function's name; modules that are not installed are looked for beside it, in the
            recipe's folder.

    Raises:
        DataError: there is no such function, it failed, or it gives something else than samples, each with its own id.
    """
    seen: set[str] = set()
    with modules_beside(path.parent):
        for sample in _given(path.name):
            if not isinstance(sample, Sample) or not isinstance(sample.picture, Path):
                got = repr(sample)[:100]
                raise _wrong(path.name, "an iterable of edgemill_core.samples.Sample, with a Path in picture", got)
            plain = _plain(path.name, sample)
            if plain.id in seen:
                raise _wrong(path.name, "samples that are called differently", f"{plain.id!r} twice")
            seen.add(plain.id)
            yield plain


def _plain(name: str, sample: Sample) -> Sample:
    try:
        return plain_sample(sample)
    except TypeError as error:
        expected = "finite numbers in fields, texts in context, a Truth or None"
        raise _wrong(name, expected, f"{str(sample.id)[:100]!r}, of which {error}") from error


def _given(name: str) -> Iterator[object]:
    try:
        yield from _function(name)()  # type: ignore[misc]  # what is not iterable says so
    except EdgemillError:
        raise
    except Exception as error:  # somebody else's code: anything may come
        raise _wrong(name, "an iterable of samples", f"{type(error).__name__}: {error}{_place(error)}") from error


def _function(name: str) -> Callable[[], object]:
    module, _, attribute = name.partition(":")
    found: object = import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{attribute} is a {type(found).__name__}, and no function")
    return found


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})" if trace is not None else ""


def _wrong(name: str, expected: str, got: str) -> DataError:
    return DataError(
        f"function {name} gives no samples", expected=expected, got=got, fix="mend it, or `function:` in the recipe"
    )


@contextmanager
def modules_beside(folder: Path) -> Iterator[None]:
    """Find modules in ``folder`` too, behind everything that is installed.

    Those that were imported from there are forgotten afterwards: another recipe may have its own of that name.
    """
    before, home = set(sys.modules), str(folder.resolve())
    sys.path.append(home)
    try:
        yield
    finally:
        if home in sys.path:
            sys.path.remove(home)
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(f"{home}/"):
                del sys.modules[name]
