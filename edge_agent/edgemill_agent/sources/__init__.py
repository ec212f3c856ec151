"""Where parts come from: one file each, and one line in this table."""

from __future__ import annotations

from importlib import import_module

from edgemill_agent.sources.base import Source

SOURCES: dict[str, str] = {
    "folder": "edgemill_agent.sources.folder:FolderSource",
    "rows": "edgemill_agent.sources.rows:RowsSource",
}
"""Key under ``source:`` in the settings → ``module:Class``."""


def source_class(kind: str) -> type[Source]:
    """The class behind ``kind``; imported only now, because it may bring OpenCV or PyAV."""
    module, _, name = SOURCES[kind].partition(":")
    found: type[Source] = getattr(import_module(module), name)
    return found


__all__ = ["SOURCES", "Source", "source_class"]
