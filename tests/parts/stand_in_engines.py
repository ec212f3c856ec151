"""Engines over the stand-ins for NVIDIA's driver and TensorRT; tests that use them take the fixture ``stand_ins``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemill_core.errors import EdgemillError
from edgemill_runtimes.engines import Engine, EngineSettings, load

LIMITS = {"x": ((1, 4), None, (8, 64), (8, 64))}
X = np.random.default_rng(0).random((1, 3, 8, 32), np.float32)


def opened(graph: Path, device: str = "GPU", **settings: Any) -> Engine:
    return load("tensorrt", graph, EngineSettings(device, **settings))


def refused(graph: Path, kind: type[EdgemillError], *parts: str, device: str = "GPU", **settings: Any) -> None:
    with pytest.raises(kind) as caught:
        opened(graph, device, **settings)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
