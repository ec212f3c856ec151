"""Write parts as pictures with their labels, in the layout that recipes read."""

from __future__ import annotations

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgemill.demo.labels.maker import LabelMaker, Part
from edgemill_core.samples import Sample, Truth
from edgemill_runtimes.frames import Frame
from edgemill_runtimes.frames.opencv import cv2

COLUMNS = ("file", "expected", "good", "printed", "fault")
_GONE = np.zeros((0, 0, 3), np.uint8)


def generate(folder: Path, parts: int, seed: int, *, bad_share: float = 0.2, prefix: str = "part") -> list[Sample]:
    """Write ``parts`` pictures and ``labels.csv``.

    Args:
        folder: made if missing.
        parts: how many.
        seed: of everything.
        bad_share: of every 20 parts, to the part.
        prefix: of the file names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maker = LabelMaker(seed, bad_share)

    def write(index: int) -> tuple[str, Part]:
        part = maker.part(index)
        name = f"{prefix}-{index:05d}.png"
        (folder / name).write_bytes(_png(part.image))
        return name, replace(part, image=_GONE)

    # Painting is numpy and OpenCV, which let go of the interpreter's lock.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        written = list(pool.map(write, range(parts)))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows((name, p.expected, int(p.good), p.printed, p.fault) for name, p in written)
    return [
        Sample(name, folder / name, {"expected": part.expected}, Truth(part.good, part.printed))
        for name, part in written
    ]


def _png(image: Frame) -> bytes:
    """Noise has no repeats to search for: Huffman coding of differences alone takes half the time, for fewer bytes."""
    how = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY)
    return bytes(cv2.imencode(".png", image, [*how, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB])[1])
