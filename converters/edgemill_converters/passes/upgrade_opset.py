"""Bring old graphs to the opset that the quantized dialects are written in."""

from __future__ import annotations

import onnx
from onnx import version_converter

from edgemill_converters.passes.base import Pass, copy_of

OPSET = 17
"""Per-channel DequantizeLinear needs 13; 17 brings LayerNormalization, and every runtime on JetPack 6 reads it."""


class UpgradeOpset(Pass):
    """Promises opset 17 or newer."""

    name = "upgrade-opset"

    def _apply(self, model: onnx.ModelProto) -> onnx.ModelProto:
        if opset_of(model) >= OPSET:
            return copy_of(model)
        result: onnx.ModelProto = version_converter.convert_version(model, OPSET)
        return result

    def _check(self, result: onnx.ModelProto) -> None:
        if opset_of(result) < OPSET:
            raise self._broken(f"opset {OPSET} or newer", f"opset {opset_of(result)}")


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default operator set."""
    return max(int(opset.version) for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
