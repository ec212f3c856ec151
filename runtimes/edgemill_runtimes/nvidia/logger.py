"""TensorRT's own words, kept for our errors: its calls give ``None`` or ``False``, and say why to a logger alone."""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import Any

KEPT = 20


@cache
def process_logger(trt: Any) -> Any:
    """The one ``keeping_logger`` of this process, for engines, of which there may be several.

    TensorRT goes on with the first logger that it is given while anything made with it lives, and its plugins keep a
    pointer to theirs: what is said of one engine would be told to another's, and be told to nobody once that is gone.
    """
    return keeping_logger(trt)


def keeping_logger(trt: Any) -> Any:
    """A logger of ``trt`` with ``words()``: what it was told last of warnings and errors, the errors first.

    ``errors`` are those alone, one by one.

    It must outlive every object that is made with it.
    """
    severity = trt.ILogger.Severity
    grave, slight = (severity.INTERNAL_ERROR, severity.ERROR), (severity.WARNING,)

    class KeepingLogger(trt.ILogger):  # type: ignore[misc]  # the module is only known when it is here
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: deque[str] = deque(maxlen=KEPT)
            self._warnings: deque[str] = deque(maxlen=KEPT)

        def log(self, severity: Any, msg: str) -> None:
            if severity in grave:
                self._errors.append(msg)
            elif severity in slight:
                self._warnings.append(msg)

        @property
        def errors(self) -> tuple[str, ...]:
            return tuple(self._errors)

        def words(self, most: int = 400) -> str:
            told = "; ".join(dict.fromkeys(" ".join(line.split()) for line in (*self._errors, *self._warnings)))
            return told[:most] or "TensorRT did not say why"

        def forget(self) -> None:
            self._errors.clear()
            self._warnings.clear()

    return KeepingLogger()
