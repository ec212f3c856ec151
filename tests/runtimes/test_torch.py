"""The contract of every engine, on PyTorch."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from engine_contract import EngineContract

from edgemill_core.errors import MissingPartError, ModelError
from edgemill_runtimes.engines import Engine, EngineSettings, load

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'edgemill[torch]'")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions and a product, of any number of pictures."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 5),
    )
    path = tmp_path_factory.mktemp("torch") / "model.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.zeros(2, 3, 8, 32),)
        exported = torch.export.export(model.eval(), example, dynamic_shapes=({3: torch.export.Dim("width", min=8)},))
        torch.export.save(exported, path)
    return path


class TestTorch(EngineContract):
    runtime = "torch"
    feeds = {"input": np.random.default_rng(0).random((2, 3, 8, 32), np.float32)}  # noqa: RUF012

    @pytest.fixture
    def graph(self, program: Path) -> Path:
        return program

    def test_work_is_counted_by_layer(self, engine: Engine) -> None:
        engine.require(precision="fp32", device="CPU", unfused=0)
        assert engine.facts().layers == {"fp32": 2}

    @pytest.mark.parametrize("device", ["CUDA", "NPU", "cpu"])
    def test_another_device_is_never_swapped_for_the_cpu(self, graph: Path, device: str) -> None:
        if device == "CUDA" and torch.cuda.is_available():
            pytest.skip("there is a GPU")
        with pytest.raises(MissingPartError, match="no device"):
            load(self.runtime, graph, EngineSettings(device))

    def test_a_pickle_is_refused(self, tmp_path: Path) -> None:
        torch.save({"a": torch.zeros(1)}, tmp_path / "state.pt")
        for name, content in (("bad.pt2", b"x" * 100), ("state.pt", None)):
            if content:
                (tmp_path / name).write_bytes(content)
            with pytest.raises(ModelError, match="cannot load"):
                load(self.runtime, tmp_path / name)

    @pytest.mark.parametrize(
        "entry", ["data/aotinductor/model/model.wrapper.so", "data/executorch/a.pte", "data/constants/custom_obj_0"]
    )
    def test_what_is_more_than_a_program_is_refused(self, program: Path, tmp_path: Path, entry: str) -> None:
        path = tmp_path / "model.pt2"
        path.write_bytes(program.read_bytes())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/{entry}", b"x")
        with pytest.raises(ModelError, match="cannot load") as told:
            load(self.runtime, path)
        assert entry in told.value.got

    def test_a_size_that_is_code_does_not_run(self, program: Path, tmp_path: Path) -> None:
        path, ran = tmp_path / "model.pt2", tmp_path / "ran"
        size = json.dumps(f"open({str(ran)!r}, 'w')").encode()
        with zipfile.ZipFile(program) as whole, zipfile.ZipFile(path, "w") as archive:
            for name in whole.namelist():
                archive.writestr(name, re.sub(rb'(?<="expr_str": )"[^"]*"', lambda _: size, whole.read(name)))
        with pytest.raises(ModelError, match="no arithmetic"):
            load(self.runtime, path)
        assert not ran.exists()
