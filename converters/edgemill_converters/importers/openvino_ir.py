"""OpenVINO's IR: refused, with the way out. See docs/decisions/0031."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgemill_converters.importers.archives import refused
from edgemill_converters.importers.base import Imported
from edgemill_converters.recipe import Recipe


def import_ir(paths: Sequence[Path], _: Recipe) -> Imported:
    """Say that an IR is an output and no input.

    Raises:
        ModelError: always.
    """
    raise refused(
        paths[0],
        "a model from which every target's graph can be made",
        "OpenVINO's IR, which only OpenVINO reads and nothing turns back into ONNX",
        "name the model that the IR was converted from (ONNX, PyTorch, Keras, SavedModel); what ships for OpenVINO "
        "is made from that",
    )
