"""A function of the user's own that gives the model: ``package.module:function``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgemill_core.errors import EdgemillError, ModelError


def called(name: str, folder: Path) -> Any:
    """Import the module and call the function without arguments.

    Args:
        name: ``package.module:function``.
        folder: looked into before anything that is installed.

    Raises:
        ModelError: no such module or function, or it raised something.
    """
    module, _, function = name.partition(":")
    with _first_on_path(folder):
        try:
            found = getattr(importlib.import_module(module), function)
        except Exception as error:  # the module is the user's: whatever it raises
            raise _failed(name, "cannot be imported", error, f"a module {module} with {function}()") from error
        try:
            return found()
        except EdgemillError:
            raise
        except Exception as error:  # the same
            raise _failed(name, "failed", error, "a model") from error


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing is left beside the user's sources
    os.environ.setdefault("KERAS_BACKEND", "torch")  # the one whose models are translated
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _failed(name: str, how: str, error: Exception, expected: str) -> ModelError:
    trace, line = error.__traceback__, 0
    where = name
    while trace is not None:
        where, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    place = "" if where == __file__ or where.startswith("<") else f", at {where}, line {line}"
    return ModelError(
        f"the function {name}, which is to give the model, {how}",
        expected=expected,
        got=f"{type(error).__name__}: {str(error).strip()[:300]}{place}",
        fix="mend it, or model: in the recipe",
    )
