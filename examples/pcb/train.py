"""Train a small detector of defects on printed circuit boards, and write it as ONNX.

    python train.py FOLDER OUT.onnx [--minutes 8] [--held-out BOARD ...] [--crop 320]

FOLDER is in DeepPCB's layout: ``NNN_test.jpg`` with a line ``left top right bottom kind`` a defect, in pixels, in
``NNN.txt``; the first five characters of a name are the board. Boards named under ``--held-out`` are not looked at.
Needs torch, onnx, onnxscript, opencv-python-headless and numpy; nothing of Edgemill.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
STRIDE, BATCH = 8, 8
SIZE_UNIT = 32.0


class Detector(nn.Module):
    """A fully convolutional net: for each cell of 8 x 8 pixels a box and a logit a kind (FCOS, Tian et al. 2019).

    Takes ``float[n, 3, height, width]``, 0 to 1; gives ``float[n, 4 + 6, cells]``: centre and size in pixels, scores.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64)
        body: list[nn.Module] = []
        before = 3
        for width in widths:
            body += [_conv(before, width, 2), _conv(width, width)]
            before = width
        # Wider views, because a short is told from a trace by what is around it.
        body += [_conv(before, before, dilation=dilation) for dilation in (1, 2, 4, 1)]
        self.body = nn.Sequential(*body)
        self.kinds = nn.Sequential(_conv(before, before), nn.Conv2d(before, len(KINDS), 1))
        self.boxes = nn.Sequential(_conv(before, before), nn.Conv2d(before, 4, 1))
        nn.init.constant_(self.kinds[-1].bias, -4.6)  # begins with what is true of most cells: there is nothing

    def raw(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[n, 6, rows, columns]``, and distances from a cell's middle to the box's edges, in pixels."""
        seen = self.body(pictures)
        return self.kinds(seen), functional.softplus(self.boxes(seen)) * SIZE_UNIT

    def forward(self, pictures: Tensor) -> Tensor:
        logits, edges = self.raw(pictures)
        x, y = _middles(logits.shape[2], logits.shape[3], pictures.device)
        left, top, right, bottom = edges.unbind(1)
        box = torch.stack([x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom], 1)
        return torch.cat([box.flatten(2), logits.sigmoid().flatten(2)], 1)


def _conv(before: int, after: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


def _middles(rows: int, columns: int, device: torch.device) -> tuple[Tensor, Tensor]:
    y = (torch.arange(rows, device=device) + 0.5) * STRIDE
    x = (torch.arange(columns, device=device) + 0.5) * STRIDE
    return x[None, None, :].expand(1, rows, columns), y[None, :, None].expand(1, rows, columns)


def read(folder: Path, held_out: set[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures ``uint8[height, width]`` with ``int[n, 5]``: left, top, right, bottom, kind from 0."""
    found = []
    for picture in sorted(folder.glob("*_test.jpg")):
        if picture.name[:5] not in held_out:
            boxes = np.loadtxt(picture.with_name(picture.name[:-9] + ".txt"), int, ndmin=2).reshape(-1, 5)
            found.append((cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE), boxes - [0, 0, 0, 0, 1]))
    return found


def crop(picture: np.ndarray, boxes: np.ndarray, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random square, turned and mirrored at random, with the boxes whose middle is in it."""
    height, width = picture.shape
    top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    part = picture[top : top + side, left : left + side]
    moved = boxes - [left, top, left, top, 0]
    middle = (moved[:, :2] + moved[:, 2:4]) / 2
    moved = moved[((middle >= 0) & (middle < side)).all(1)]
    if rng.random() < 0.5:
        part, moved = part[:, ::-1], np.stack([side - moved[:, 2], moved[:, 1], side - moved[:, 0], *moved.T[3:]], 1)
    if rng.random() < 0.5:
        part, moved = part.T, moved[:, [1, 0, 3, 2, 4]]
    return np.ascontiguousarray(part), moved


def targets(boxes: list[np.ndarray], cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Per cell: kinds (one-hot), the box's edges, and whether it counts: middles near a box's own, small boxes win."""
    kinds = torch.zeros(len(boxes), len(KINDS), cells, cells)
    edges = torch.zeros(len(boxes), 4, cells, cells)
    inside = torch.zeros(len(boxes), cells, cells, dtype=torch.bool)
    x, y = (axis[0] for axis in _middles(cells, cells, torch.device("cpu")))
    for index, found in enumerate(boxes):
        for left, top, right, bottom, kind in sorted(found.tolist(), key=lambda b: -(b[2] - b[0]) * (b[3] - b[1])):
            near = ((x - (left + right) / 2).abs() < STRIDE) & ((y - (top + bottom) / 2).abs() < STRIDE)
            kinds[index, :, near] = 0.0
            kinds[index, kind, near] = 1.0
            box = torch.stack([x - left, y - top, right - x, bottom - y])
            edges[index][:, near] = box[:, near].clamp(min=0.5)
            inside[index] |= near
    return kinds, edges, inside


def loss_of(logits: Tensor, edges: Tensor, wanted: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Focal loss (Lin et al. 2017) for the kinds, and 1 - intersection over union for the boxes."""
    kinds, boxes, inside = wanted
    count = inside.sum().clamp(min=1)
    likely = logits.sigmoid()
    off = torch.where(kinds > 0, 1 - likely, likely)
    weight = torch.where(kinds > 0, 0.25, 0.75) * off**2
    focal = (weight * functional.binary_cross_entropy_with_logits(logits, kinds, reduction="none")).sum()
    got, want = edges.permute(0, 2, 3, 1)[inside], boxes.permute(0, 2, 3, 1)[inside]
    shared = torch.minimum(got, want)
    both = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    area = sum((b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) for b in (got, want))
    return (4 * focal + (1 - both / (area - both)).sum()) / count


def train(samples: list[tuple[np.ndarray, np.ndarray]], minutes: float, side: int, seed: int) -> Detector:
    """For so many minutes, with a learning rate that falls to nothing at the end (one cycle)."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Detector()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    start, steps, shown = time.monotonic(), 0, 0.0
    while (gone := (time.monotonic() - start) / 60 / minutes) < 1:
        rate = 3e-3 * min(1.0, gone / 0.1 + 0.01) * (0.5 + 0.5 * np.cos(np.pi * gone))
        for group in optimizer.param_groups:
            group["lr"] = rate
        drawn = [crop(*samples[index], side, rng) for index in rng.integers(0, len(samples), BATCH)]
        pictures = torch.from_numpy(np.stack([part for part, _ in drawn])).float()[:, None] / 255
        pictures = (pictures + 0.05 * torch.randn_like(pictures)).expand(-1, 3, -1, -1)
        loss = loss_of(*model.raw(pictures), targets([boxes for _, boxes in drawn], side // STRIDE))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps, shown = steps + 1, 0.98 * shown + 0.02 * float(loss.detach())
        if steps % 50 == 0:
            print(f"{gone:4.0%}  step {steps}  loss {shown / (1 - 0.98**steps):.3f}", flush=True)
    return model.eval()


def main() -> None:
    told = argparse.ArgumentParser()
    told.add_argument("folder", type=Path)
    told.add_argument("out", type=Path)
    told.add_argument("--minutes", type=float, default=8.0)
    told.add_argument("--held-out", nargs="*", default=[])
    told.add_argument("--crop", type=int, default=320, help="side of the squares to train on, in pixels")
    told.add_argument("--seed", type=int, default=1)
    args = told.parse_args()
    samples = read(args.folder, set(args.held_out))
    print(f"{len(samples)} pictures", flush=True)
    model = train(samples, args.minutes, args.crop, args.seed)
    height, width = samples[0][0].shape
    example = (torch.zeros(1, 3, height, width),)
    program = torch.onnx.export(model, example, dynamo=True, opset_version=18, input_names=["picture"])
    program.save(str(args.out), external_data=False)


if __name__ == "__main__":
    main()
