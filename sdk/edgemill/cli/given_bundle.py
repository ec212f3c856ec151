"""A bundle as the command line names it: a folder, or one file, which is unpacked until the command ends."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from pathlib import Path

from edgemill_core.bundle import Bundle, opened_bundle
from edgemill_core.bundle.one_file import is_one_file

_opened = ExitStack()
atexit.register(_opened.close)


def open_given(path: Path) -> Bundle:
    """The verified bundle at ``path``; raises as ``opened_bundle`` does."""
    return _opened.enter_context(opened_bundle(path))


def side_given(text: str) -> str:
    """A side of a comparison, ``PATH`` or ``PATH@WHICH``, with a bundle in one file replaced by its unpacked folder."""
    path, at, which = (text, "", "") if Path(text).exists() else text.rpartition("@")
    if not at:
        path, which = text, ""
    if not is_one_file(Path(path)):
        return text
    return f"{open_given(Path(path)).folder}{at}{which}"
