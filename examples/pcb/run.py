"""From a folder of pictures to reports, bundles and a line that runs, in one command.

    python run.py FOLDER OUT [--held-out BOARD ...] [--search BOARD ...]

FOLDER is in DeepPCB's layout (``layout.py``). Trains a detector and a classifier on the boards that are neither held
out nor for choosing, builds both for two runtimes within their budgets, judged on the held-out boards alone, replays
those through an agent, and prints what came of it; ``OUT/summary.json`` has the same. What is in OUT already and was
made in the same way is not trained again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import data_sets
import recipes
import scores
from layout import Part, boards_of, read_parts, split
from patches import SIDE
from station import Replayed, draw, replay

import edgemill
from edgemill.summary import bundle_summary
from edgemill_core.tasks import ObjectDetection

HELD_OUT, SEARCH = ("00041", "92000"), ("50600",)
CALIBRATION = 64
DRAWN = 12
PICTURES = {"detector": "pictures", "classifier": "patches"}


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    learned = split(boards_of(args.folder), args.held_out, args.search)
    notes = {model: trained(model, args) for model in ("detector", "classifier")}
    sets = {"calibration": learned, "search": args.search, "judge": args.held_out}
    parts = {name: read_parts(args.folder, boards) for name, boards in sets.items()}
    write_sets(args.out, parts)
    height, width = parts["judge"][0].test.shape
    told = {"detector": recipes.detector((width, height)), "classifier": recipes.classifier(SIDE)}
    built = {model: build(recipe, args.out) for model, recipe in told.items()}
    precision = average_precision(args.out, built["detector"])
    stations = {model: replayed(model, result, args.out) for model, result in built.items()}
    summary = {
        "held_out": {board: sum(part.board == board for part in parts["judge"]) for board in args.held_out},
        "trained": {model: note.get("spent") for model, note in notes.items()},
        "average_precision": precision,
        "stations": {model: asdict(found) for model, found in stations.items()},
        "built": {model: bundle_summary(result) for model, result in built.items()},
    }
    (args.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(in_words(summary, built))


def arguments() -> argparse.Namespace:
    told = argparse.ArgumentParser()
    told.add_argument("folder", type=Path)
    told.add_argument("out", type=Path)
    told.add_argument("--held-out", nargs="+", default=list(HELD_OUT), help="boards that only the judge sees")
    told.add_argument("--search", nargs="+", default=list(SEARCH), help="boards to choose by, also not trained on")
    told.add_argument("--models", type=Path, help="folder of detector.onnx and classifier.onnx, instead of training")
    told.add_argument("--detector-steps", type=int)
    told.add_argument("--classifier-steps", type=int)
    told.add_argument("--seed", type=int, default=1)
    return told.parse_args()


def trained(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train it in a process of its own, so that nothing of torch is loaded where engines are timed."""
    file = args.out / f"{model}.onnx"
    if args.models:
        if not (file.exists() and file.samefile(args.models / file.name)):
            shutil.copy(args.models / file.name, file)
            file.with_suffix(".json").unlink(missing_ok=True)  # a note of how another one was trained
        return {}
    steps = getattr(args, f"{model}_steps")
    command = [sys.executable, Path(__file__).with_name("train.py"), model, args.folder, file, "--seed", args.seed]
    command += ["--held-out", *args.held_out, "--search", *args.search, *(["--steps", steps] if steps else [])]
    subprocess.run([str(word) for word in command], check=True)
    note: dict[str, Any] = json.loads(file.with_suffix(".json").read_text())
    return note


def write_sets(out: Path, parts: dict[str, list[Part]]) -> None:
    """Good parts for the judge alone: calibration needs what makes the outputs large, which is defects."""
    for name, found in parts.items():
        shutil.rmtree(out / name, ignore_errors=True)
        chosen = data_sets.evenly(found, CALIBRATION) if name == "calibration" else found
        data_sets.write_pictures(out / name, chosen, good_too=name != "calibration")
        data_sets.write_patches(out / name, chosen)


def build(recipe: dict[str, Any], out: Path) -> edgemill.BuildResult:
    """Build, or end with the numbers that say why not."""
    print(f"\n{recipe['name']}", flush=True)
    try:
        return edgemill.build(
            recipes.write(recipe, out), out, progress=lambda what: print(f"  {what}", file=sys.stderr)
        )
    except edgemill.BudgetError as error:
        raise SystemExit(str(error)) from error


def average_precision(out: Path, built: edgemill.BuildResult) -> dict[str, dict[str, float]]:
    """Kind by kind: the trained model on every runtime that runs here, and what ships for it."""
    task, boxes = built.recipe.make_task(), out / "judge" / "boxes.json"
    assert isinstance(task, ObjectDetection)
    assert built.bundle is not None
    rows = {}
    for target in [one for one in built.recipe.targets if one.runs_here]:
        rows[f"{target.runtime}, as trained"] = scores.of_model(out / "detector.onnx", target.runtime, task, boxes)
        shipped = next(v for v in built.bundle.model.variants if v.runtime == target.runtime)
        rows[f"{target.runtime}, {shipped.name}"] = scores.of_bundle(built.bundle, target.runtime, boxes)
    return rows


def replayed(model: str, built: edgemill.BuildResult, out: Path) -> Replayed:
    """The held-out parts as a line; of the detector also some pictures of what it finds."""
    assert built.bundle is not None
    line, drawn, pictures = out / "line" / model, out / "drawn", out / "judge" / PICTURES[model]
    shutil.rmtree(line, ignore_errors=True)
    if model == "detector":
        shutil.rmtree(drawn, ignore_errors=True)
        parts = sorted(pictures.glob("*-test.png"))
        draw(built.bundle.folder, parts[:: max(1, len(parts) // DRAWN)], drawn)
    return replay(built.bundle.folder, pictures, line)


def in_words(summary: dict[str, Any], built: dict[str, edgemill.BuildResult]) -> str:
    """The summary for people."""
    boards = ", ".join(f"{board} ({pairs} pairs)" for board, pairs in summary["held_out"].items())
    lines = [f"\nheld out, and seen by nothing but the judge: {boards}"]
    for model, spent in summary["trained"].items():
        if spent:
            lines.append(
                f"{model}: {spent['steps']} steps in {spent['minutes']:.1f} minutes, "
                f"{spent['cpu_minutes']:.1f} minutes of processor time on {spent['threads']} threads"
            )
    lines += ["", scores.table(summary["average_precision"])]
    for model, result in built.items():
        lines += ["", f"{model}, {result.report}"]
        station = summary["stations"][model]
        counts = ", ".join(f"{count} {decision}" for decision, count in station["verdicts"].items())
        lines.append(f"  as a station: {counts}; ledger {'whole' if station['whole'] else 'NOT whole'}")
        for variant in result.variants:
            ships = "ships" if variant.name in result.choice.shipped else ""
            p50 = f"{variant.measurement.p50_ms:.2f} ms" if variant.measurement else "not measured here"
            lines.append(f"  {variant.name:<24}{p50:>11}  {ships:<7}{variant.ruling.why}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
