"""The same FP32 graph quantized by others: ONNX Runtime's own QDQ, and NNCF's OpenVINO model.

NNCF is no dependency of the project, so it gets an environment of its own, once, under ``bench-out/nncf``.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from own_environment import python_with

from edgemill_core.tensors import Array

CACHE = Path(__file__).parents[1] / "bench-out" / "nncf"
PACKAGES = ("nncf==3.4.0", "openvino==2026.4.1", "onnx==1.23.2", "numpy==2.4.6")
QUANTIZE = """
import sys
import nncf, numpy as np, openvino as ov

graph, pictures, target = sys.argv[1:4]
samples = np.load(pictures)
made = nncf.quantize(
    ov.Core().read_model(graph), nncf.Dataset([sample[None] for sample in samples]), subset_size=len(samples),
    preset=nncf.QuantizationPreset.PERFORMANCE,
)
ov.save_model(made, target, compress_to_fp16=False)
"""


def by_onnxruntime(graph: Path, calibration: Array, target: Path) -> Path:
    """``quantize_static`` behind its own pre-processing, per channel, uint8 activations, min-max: its fastest here."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quant_pre_process,
        quantize_static,
    )

    name = onnx.load(graph).graph.input[0].name

    class Pictures(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[Array] = iter(calibration)

        def get_next(self) -> dict[str, Array] | None:
            picture = next(self._left, None)
            return None if picture is None else {name: picture[None]}

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared),
        str(target),
        Pictures(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return target


def by_nncf(graph: Path, calibration: Array, target: Path) -> Path:
    """``nncf.quantize`` on the OpenVINO model, with its preset for performance, on the same pictures."""
    pictures = target.with_suffix(".npy")
    np.save(pictures, calibration, allow_pickle=False)
    subprocess.run(
        [python_with(CACHE, PACKAGES), "-c", QUANTIZE, graph, pictures, target], check=True, stdout=subprocess.DEVNULL
    )
    return target
