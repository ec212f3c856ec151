"""Build a detector of board defects, replay boards that it never saw as a line, and draw what it found.

    python line.py MODEL.onnx FOLDER OUT [--held-out BOARD ...]

MODEL comes from ``train.py``, FOLDER is in DeepPCB's layout (there too). Each board is shown twice: with its defects
(``NNN_test.jpg``) and without (``NNN_temp.jpg``). Everything is written to OUT; ``OUT/drawn`` has the pictures.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

import edgemill
from edgemill_core.inspection.boxes import intersection_over_union
from edgemill_runtimes.frames import read_picture

KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
SAME = 0.33
"""Intersection over union from which on a box is the labelled one; the authors' rule."""
DRAWN = 12


def write_recipe(model: Path, folder: Path, out: Path, held_out: set[str]) -> Path:
    """Recipe and labels; the judge gets the boards that were held out, calibration the others."""
    shutil.copy(model, out / "pcb.onnx")
    parts = sorted(path.name.removesuffix("_test.jpg") for path in folder.glob("*_test.jpg"))
    sets = {
        "judge": [p for p in parts if p[:5] in held_out],
        "calibration": [p for p in parts if p[:5] not in held_out],
    }
    for name, chosen in sets.items():
        with (out / f"{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["file", "good"])
            for part in chosen:
                table.writerow([folder.resolve() / f"{part}_test.jpg", 0])
                table.writerow([folder.resolve() / f"{part}_temp.jpg", 1])
    height, width = read_picture(folder / f"{parts[0]}_test.jpg").shape[:2]
    recipe = {
        "name": "pcb",
        "version": "1.0.0",
        "task": {
            "name": "object-detection",
            "classes": list(KINDS),
            "head": "yolov8",
            "band": {"uncertain_from": 0.35, "sure_from": 0.5},
        },
        "model": "pcb.onnx",
        "input": {"size": [width, height], "normalise": {"mean": [0], "std": [255]}},
        "data": {"calibration": {"labels": "calibration.csv", "take": 64}, "judge": {"labels": "judge.csv"}},
        "budget": [{"metric": "escape_rate", "max_drop": 0.06}, {"metric": "overkill_rate", "max_drop": 0.06}],
        "targets": [{"runtime": "onnxruntime"}, {"runtime": "openvino"}],
    }
    path = out / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def replay(bundle: Path, judge: Path, out: Path) -> None:
    """The held-out pictures through an agent, as a line would bring them."""
    pictures = out / "line"
    pictures.mkdir()
    with judge.open(newline="") as file:
        for row in csv.DictReader(file):
            (pictures / Path(row["file"]).name).symlink_to(row["file"])
    station = {
        "name": "boards",
        "bundle": str(bundle.resolve()),
        "source": {"folder": "line", "once": True},
        "evidence": {"keep": ["uncertain"]},
    }
    (out / "agent.yaml").write_text(yaml.safe_dump({"device": {"id": "pcb"}, "stations": [station]}))
    subprocess.run([sys.executable, "-m", "edgemill", "agent", "run", str(out / "agent.yaml")], check=True)


def found_of(labelled: int, boxes: np.ndarray, kinds: list[str], truth: np.ndarray) -> tuple[int, int]:
    """How many of the labelled defects have a box of their kind, and how many boxes stand for none."""
    overlap = intersection_over_union(boxes, truth[:, :4])
    fits = (overlap > SAME) & (np.array(kinds)[:, None] == np.array(KINDS)[truth[:, 4].astype(int) - 1][None, :])
    hit: set[int] = set()
    false = 0
    for row in range(len(boxes)):
        free = [column for column in np.flatnonzero(fits[row]) if column not in hit]
        if free:
            hit.add(max(free, key=lambda column: float(overlap[row, column])))
        else:
            false += 1
    return min(labelled, len(hit)), false


def score(bundle: Path, judge: Path, runtime: str) -> str:
    """Defects found and boxes that stand for nothing, over the held-out boards."""
    counts = np.zeros(4, int)
    with edgemill.open_pipeline(edgemill.open_bundle(bundle), runtime) as inspect, judge.open(newline="") as file:
        for row in csv.DictReader(file):
            picture = Path(row["file"])
            frame = read_picture(picture)
            height, width = frame.shape[:2]
            verdict = inspect(frame)
            sure = [f for f in verdict.reading["findings"] if f["score"] >= 0.5]  # type: ignore[attr-defined]
            if row["good"] == "1":
                counts[3] += len(sure)
                continue
            label = picture.with_name(picture.name.replace("_test.jpg", ".txt"))
            truth = np.loadtxt(label, ndmin=2).reshape(-1, 5)
            boxes = np.array([f["box"] for f in sure]).reshape(-1, 4) * [width, height, width, height]
            hit, false = found_of(len(truth), boxes, [f["class"] for f in sure], truth)
            counts[:3] += [len(truth), hit, false]
    return (
        f"{runtime}: {counts[1]} of {counts[0]} defects found, of their kind; {counts[2]} boxes on those boards stand "
        f"for none, {counts[3]} on the same places without defects"
    )


def main() -> None:
    told = argparse.ArgumentParser()
    told.add_argument("model", type=Path)
    told.add_argument("folder", type=Path)
    told.add_argument("out", type=Path)
    told.add_argument("--held-out", nargs="+", default=["44000", "77000"])
    args = told.parse_args()
    args.out.mkdir(parents=True)
    recipe = write_recipe(args.model, args.folder, args.out, set(args.held_out))
    built = edgemill.build(recipe, args.out, progress=lambda what: print(what, file=sys.stderr))
    assert built.bundle is not None
    bundle, judge = built.bundle.folder, args.out / "judge.csv"
    for variant in built.variants:
        print(f"{variant.name}: {variant.measurement.p50_ms:.1f} ms, {variant.ruling.outcome.value}")
    replay(bundle, judge, args.out)
    for target in built.recipe.targets:
        print(score(bundle, judge, target.runtime))
    shown = sorted((args.out / "line").iterdir())[:DRAWN]
    command = [sys.executable, "-m", "edgemill", "run", str(bundle), *map(str, shown)]
    subprocess.run([*command, "--save", str(args.out / "drawn")], check=True)


if __name__ == "__main__":
    main()
