"""What a detector should have said, and how far off it was."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detector import STRIDE, middles
from layout import KINDS, Boxes
from torch import Tensor
from torch.nn import functional

Wanted = tuple[Tensor, Tensor, Tensor]


def wanted(boxes: Sequence[Boxes], cells: int) -> Wanted:
    """Per cell: kinds (one-hot), the box's edges, and whether it counts: middles near a box's own, small boxes win."""
    kinds = torch.zeros(len(boxes), len(KINDS), cells, cells)
    edges = torch.zeros(len(boxes), 4, cells, cells)
    inside = torch.zeros(len(boxes), cells, cells, dtype=torch.bool)
    x, y = (axis[0] for axis in middles(cells, cells))
    for index, found in enumerate(boxes):
        for left, top, right, bottom, kind in sorted(found.tolist(), key=lambda b: -(b[2] - b[0]) * (b[3] - b[1])):
            near = ((x - (left + right) / 2).abs() < STRIDE) & ((y - (top + bottom) / 2).abs() < STRIDE)
            kinds[index, :, near] = 0.0
            kinds[index, kind, near] = 1.0
            box = torch.stack([x - left, y - top, right - x, bottom - y])
            edges[index][:, near] = box[:, near].clamp(min=0.5)
            inside[index] |= near
    return kinds, edges, inside


def loss(logits: Tensor, edges: Tensor, want: Wanted) -> Tensor:
    """Focal loss (Lin et al. 2017) for the kinds, and 1 - intersection over union for the boxes."""
    kinds, boxes, inside = want
    count = inside.sum().clamp(min=1)
    likely = logits.sigmoid()
    off = torch.where(kinds > 0, 1 - likely, likely)
    weight = torch.where(kinds > 0, 0.25, 0.75) * off**2
    focal = (weight * functional.binary_cross_entropy_with_logits(logits, kinds, reduction="none")).sum()
    got, aim = edges.permute(0, 2, 3, 1)[inside], boxes.permute(0, 2, 3, 1)[inside]
    shared = torch.minimum(got, aim)
    both = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    area = sum((b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) for b in (got, aim))
    return (4 * focal + (1 - both / (area - both)).sum()) / count
