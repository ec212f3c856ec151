"""Stand-ins for NVIDIA's driver and for TensorRT, where a test asks for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in_cuda import StandIn, build_stand_in


@pytest.fixture(scope="session")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return StandIn(build_stand_in(tmp_path_factory.mktemp("cuda")))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import stand_in_tensorrt  # its ONNX Runtime is not everywhere where these tests are

    folder = tmp_path_factory.mktemp("packages")
    stand_in_tensorrt.install(folder)
    return folder


@pytest.fixture
def stand_ins(cuda: StandIn, packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In this process, and in those that it starts."""
    from edgemill_runtimes.engines.tensorrt import TensorRtEngine

    hidden = {name: sys.modules.pop(name, None) for name in ("tensorrt", "tensorrt_rtx")}
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setattr(TensorRtEngine, "library", str(cuda.path))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(cuda.path.parent))
    monkeypatch.setenv("STAND_IN_CUDA", str(cuda.path))
    yield
    for name, module in hidden.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module
    cuda.fail("", 0)
    cuda.break_down(0)
