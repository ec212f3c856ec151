"""A box to run agents on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_box import Box
from tiny_text import write_set

from edgemill_converters.result import BuildResult


@pytest.fixture
def box(tmp_path: Path, built: BuildResult) -> Iterator[Box]:
    """A box with one station over 60 pictures; nothing of it is left running."""
    write_set(tmp_path / "pictures", 60, 5)
    assert built.bundle is not None
    source = {"folder": "pictures", "labels": "pictures/labels.csv", "once": True, "max_frame_bytes": 65536}
    station = {"name": "cell", "bundle": str(built.bundle.folder), "runtime": "onnxruntime", "source": source}
    made = Box(tmp_path, {"device": {"id": "box-1"}, "stations": [station]})
    yield made
    made.clear()
