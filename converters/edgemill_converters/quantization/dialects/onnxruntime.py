"""ONNX Runtime's CPU kernels.

A convolution becomes a QLinearConv only if both its ends are quantized and its bias is int32; a QGemm may write float,
which spares logits a rounding and a cut. What lies between quantized layers (Add, Concat, pooling, moves) ONNX Runtime
then takes over into INT8 by itself, and Relu and Clip vanish in the quantization behind them. Mul and Softmax stay in
float: their INT8 kernels are slower.
"""

from __future__ import annotations

from edgemill_converters.quantization.dialects.base import Dialect

ONNX_RUNTIME = Dialect("onnxruntime", outputs=("Conv",), quantized_bias=True, idioms=True)
