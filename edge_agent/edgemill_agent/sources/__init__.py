"""Where parts come from: one file each, and one line in this table."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from edgemill_agent.sources.base import Source
from edgemill_core.errors import MissingPartError

SOURCES: dict[str, str] = {
    "folder": "edgemill_agent.sources.folder:FolderSource",
    "rows": "edgemill_agent.sources.rows:RowsSource",
    "video": "edgemill_agent.sources.video:VideoSource",
    "rtsp": "edgemill_agent.sources.rtsp:RtspSource",
    "usb": "edgemill_agent.sources.usb:UsbSource",
    "push": "edgemill_agent.sources.push:PushSource",
    "replay": "edgemill_agent.sources.replay:ReplaySource",
}
"""Key under ``source:`` in the settings → ``module:Class``."""
LIVE = frozenset({"rtsp", "usb"})
"""Those whose class is ``live``; the line process knows it without importing them."""
BY_PYAV = frozenset({"video", "rtsp", "usb"})


def source_class(kind: str) -> type[Source]:
    """The class behind ``kind``; imported only now, because it may bring OpenCV.

    Raises:
        MissingPartError: PyAV is needed and not installed.
    """
    if kind in BY_PYAV and find_spec("av") is None:
        raise MissingPartError(
            f"a source of the kind `{kind}` needs a package that is not installed",
            expected="av",
            got="no such package",
            fix="pip install 'edgemill[cameras]'",
        )
    module, _, name = SOURCES[kind].partition(":")
    found: type[Source] = getattr(import_module(module), name)
    return found


__all__ = ["LIVE", "SOURCES", "Source", "source_class"]
