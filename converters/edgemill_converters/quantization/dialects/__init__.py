"""A plan written as Q/DQ, in the dialect that each runtime fuses best.

No single graph serves all runtimes: what ONNX Runtime fuses whole, TensorRT refuses, and what suits TensorRT is
slower than FP32 on ONNX Runtime. A new dialect is one new file and one line in this table.
"""

from __future__ import annotations

from edgemill_converters.quantization.dialects.base import Dialect
from edgemill_converters.quantization.dialects.onnxruntime import ONNX_RUNTIME
from edgemill_converters.quantization.dialects.openvino import OPENVINO
from edgemill_converters.quantization.dialects.reading_back import unfused_of
from edgemill_converters.quantization.dialects.tensorrt import TENSORRT
from edgemill_converters.quantization.dialects.writing import WriteQdq

DIALECTS: dict[str, Dialect] = {
    "onnxruntime": ONNX_RUNTIME,
    "openvino": OPENVINO,
    "tensorrt": TENSORRT,
    "tensorrt_rtx": TENSORRT,
}

__all__ = ["DIALECTS", "Dialect", "WriteQdq", "unfused_of"]
