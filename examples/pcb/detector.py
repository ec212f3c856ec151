"""A detector without anchors: for each cell of 8 x 8 pixels a box, and a logit a kind (FCOS, Tian et al. 2019)."""

from __future__ import annotations

import math

import torch
from backbone import Lite0
from layout import KINDS
from pair import MEAN, STD
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8
SIZE_UNIT = 32.0
WIDTH = 64


class Detector(nn.Module):
    """Takes ``float[n, 3, height, width]``; gives ``float[n, 4 + 6, cells]``: centre and size, scores.

    Behind the stem there are plain 3 x 3 convolutions, most of them where the picture is small already: at 640 x 640
    they train five times and run twice as fast as EfficientNet-Lite0's own next stages.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Lite0(blocks=0)
        self.body = nn.Sequential(
            _conv(self.stem.width, 32, 2),
            _conv(32, WIDTH, 2),
            _Two(WIDTH),
            _Two(WIDTH, dilation=2),
            _Two(WIDTH),
        )
        self.kinds = nn.Conv2d(WIDTH, len(KINDS), 1)
        self.boxes = nn.Conv2d(WIDTH, 4, 1)
        nn.init.constant_(self.kinds.bias, -math.log(99))  # begins with what is true of most cells: there is nothing

    def raw(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[n, 6, rows, columns]``, and distances from a cell's middle to the box's edges, in pixels."""
        seen = self.body(self.stem(pictures))
        return self.kinds(seen), functional.softplus(self.boxes(seen)) * SIZE_UNIT

    def forward(self, pictures: Tensor) -> Tensor:
        logits, edges = self.raw(pictures)
        x, y = middles(logits.shape[2], logits.shape[3])
        left, top, right, bottom = edges.unbind(1)
        box = torch.stack([x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom], 1)
        return torch.cat([box.flatten(2), logits.sigmoid().flatten(2)], 1)


class _Two(nn.Module):
    """Two convolutions, added to what they were given (He et al. 2016)."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = _conv(width, width, dilation=dilation)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, before: Tensor) -> Tensor:
        return functional.relu(before + self.second(self.first(before)))


def _conv(before: int, after: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


def middles(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Of the cells, in pixels: x and y, ``[1, rows, columns]`` each."""
    y = (torch.arange(rows) + 0.5) * STRIDE
    x = (torch.arange(columns) + 0.5) * STRIDE
    return x[None, None, :].expand(1, rows, columns), y[None, :, None].expand(1, rows, columns)


def normalised(pictures: Tensor) -> Tensor:
    """``uint8[n, h, w, 3]`` as the stem expects it."""
    return ((pictures.permute(0, 3, 1, 2).float() - MEAN) / STD).contiguous(memory_format=torch.channels_last)
