"""One loop for both models: so many steps, a learning rate that rises and falls to nothing (one cycle)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

WARM = 0.1
"""Share of the steps in which the rate rises."""


@dataclass(frozen=True)
class Spent:
    """What it took: minutes on the clock, and minutes of processor time over the threads that it ran on."""

    steps: int
    minutes: float
    threads: int
    cpu_minutes: float


def fit(model: nn.Module, step: Callable[[int], Tensor], steps: int, rate: float, name: str) -> Spent:
    """Train ``model`` in place; ``step`` gives the loss of a batch of its own choice."""
    model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    start, cpu, shown = time.monotonic(), time.process_time(), 0.0
    for done in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * share_of_rate(done / steps)
        loss = step(done)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        shown = 0.95 * shown + 0.05 * float(loss.detach())
        if (done + 1) % 25 == 0:
            minutes = (time.monotonic() - start) / 60
            left = minutes / (done + 1) * (steps - done - 1)
            mean = shown / (1 - 0.95 ** (done + 1))
            print(f"{name}: step {done + 1} of {steps}, loss {mean:.3f}, about {left:.0f} min left", flush=True)
    model.eval()
    threads = torch.get_num_threads()
    minutes, busy = (time.monotonic() - start) / 60, (time.process_time() - cpu) / 60
    return Spent(steps, minutes, threads, busy)


def share_of_rate(gone: float) -> float:
    """Of the highest rate, after ``gone`` of the steps (0 to 1)."""
    if gone < WARM:
        return (gone + 0.01) / (WARM + 0.01)
    return 0.5 + 0.5 * math.cos(math.pi * (gone - WARM) / (1 - WARM))


def export(model: nn.Module, size: tuple[int, int], path: Path) -> None:
    """As ONNX for one picture of ``size`` (width, height)."""
    example = (torch.zeros(1, 3, size[1], size[0]),)
    model.eval().to(memory_format=torch.contiguous_format)
    program = torch.onnx.export(model, example, dynamo=True, opset_version=18, input_names=["picture"])
    program.save(str(path), external_data=False)
