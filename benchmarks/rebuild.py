"""efficientnet-lite0 from scratch to report, the same build unchanged, and after being killed at ten random moments.

Labels are what the untouched FP32 model says itself (top 1) on crops of scikit-image's photographs: the judge then asks
whether variants decide alike, which is all that is needed here. Takes about 12 minutes, and 2 GB of disk.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import yaml
from form import Row, at_least, at_most, main, stated
from torch_models import efficientnet_lite0

from edgemill_core.bundle import open_bundle
from edgemill_runtimes.engines import load

SIZE, LEAST, JUDGE, CALIBRATION, SEED = 224, 180, 600, 300, 5
PHOTOS = ("astronaut", "cat", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry", "retina")
KILLS = 10


def crops(count: int, seed: int) -> list[np.ndarray]:
    """Random crops of the photographs, mirrored or not, ``uint8[224, 224, 3]`` blue-green-red."""
    from skimage import data

    chance = np.random.default_rng(seed)
    photos = [getattr(data, name)() for name in PHOTOS if _at_hand(name)]
    photos = [photo for photo in photos if min(photo.shape[:2]) >= LEAST]
    found = []
    while len(found) < count:
        photo = photos[int(chance.integers(len(photos)))][..., :3]
        side = (
            int(chance.integers(180, min(photo.shape[:2]) + 1)) if min(photo.shape[:2]) > 180 else min(photo.shape[:2])
        )
        top, left = (int(chance.integers(0, length - side + 1)) for length in photo.shape[:2])
        crop = cv2.resize(photo[top : top + side, left : left + side, ::-1], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        found.append(np.ascontiguousarray(crop[:, ::-1] if chance.integers(2) else crop))
    return found


def _at_hand(name: str) -> bool:
    from skimage import data

    try:
        getattr(data, name)()
    except Exception:  # those that are fetched from the network are left out
        return False
    return True


def write_sets(folder: Path, model: Path) -> list[str]:
    """Judge and calibration pictures; gives the names of all classes."""
    names = [f"class-{index}" for index in range(1000)]
    with load("onnxruntime", model) as engine:
        for role, count, seed in (("judge", JUDGE, SEED), ("calibration", CALIBRATION, SEED + 1)):
            (folder / role).mkdir()
            with (folder / role / "labels.csv").open("w", newline="") as file:
                table = csv.writer(file)
                table.writerow(["file", "good", "class"])
                for number, crop in enumerate(crops(count, seed)):
                    cv2.imwrite(str(folder / role / f"{number:04d}.png"), crop)
                    pixels = (crop[..., ::-1].astype(np.float32) - 127) / 128
                    (scores,) = engine.run({engine.inputs[0].name: pixels.transpose(2, 0, 1)[None].copy()}).values()
                    best = int(np.argmax(scores))
                    table.writerow([f"{number:04d}.png", int(best % 2 == 0), names[best]])
    return names


def write_recipe(folder: Path) -> Path:
    model = efficientnet_lite0()
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_of(model, write_sets(folder, model)), sort_keys=False))
    return path


def recipe_of(model: Path, names: list[str]) -> dict[str, object]:
    return {
        "name": "efficientnet-lite0",
        "version": "1.0.0",
        "task": {"name": "image-classification", "classes": names, "fit": names[::2], "head": "logits"},
        "model": str(model),
        "input": {
            "size": [SIZE, SIZE],
            "colour": "rgb",
            "layout": "nchw",
            "normalise": {"mean": [127, 127, 127], "std": [128, 128, 128]},
        },
        "data": {"calibration": {"labels": "calibration"}, "judge": {"labels": "judge"}},
        "budget": [{"metric": "escape_rate", "max_drop": 0.2}, {"metric": "overkill_rate", "max_drop": 0.2}],
        "targets": [{"runtime": "onnxruntime"}, {"runtime": "openvino"}],
    }


def build(recipe: Path, out: Path) -> float:
    """Seconds of the real command, its start included; Python keeps compiled modules, as it does unless told not to."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    done = subprocess.run(command(recipe, out), capture_output=True, text=True, check=False, env=kept)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - start


def command(recipe: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "edgemill", "build", str(recipe), "--out", str(out)]


def journal(out: Path) -> list[dict[str, str]]:
    path = out / ".edgemill-cache" / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def digest_in(out: Path) -> str:
    (manifest,) = out.glob("*/manifest.json")
    return open_bundle(manifest.parent).manifest.content_digest


def killed(recipe: Path, out: Path, seconds: float, chance: random.Random) -> tuple[str, list[str], int]:
    """Kill a build ten times, each at a random moment of what is left, then let it through.

    Returns:
        The content digest, the steps that were done twice although they were done, and the steps that were cut.
    """
    for number in range(KILLS):
        running = subprocess.Popen(command(recipe, out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, max(seconds / KILLS * 2, 1.5)))
        if running.poll() is not None:
            print(f"  done before kill {number + 1}", file=sys.stderr)
        running.send_signal(signal.SIGKILL)
        running.wait()
    build(recipe, out)
    lines = journal(out)
    made = [line["key"] for line in lines if line["did"] == "made"]
    twice = [line["step"] for line in lines if line["did"] == "made" and made.count(line["key"]) > 1]
    begun = sum(line["did"] == "begun" for line in lines)
    return digest_in(out), twice, begun - len(made)


def measure() -> list[Row]:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with tempfile.TemporaryDirectory() as folder:
        recipe = write_recipe(Path(folder))
        scratch = build(recipe, Path(folder, "out"))
        again = [build(recipe, Path(folder, "out")) for _ in range(5)]
        rows = [
            at_most("efficientnet-lite0", "from scratch to report", "s", scratch, 240, 1),
            stated("efficientnet-lite0", "rebuilt unchanged", "s", statistics.median(again), len(again)),
            at_least("efficientnet-lite0", "unchanged, times faster", "x", scratch / statistics.median(again), 20, 5),
        ]
        # One variant, so that there is no choice between times that do not repeat.
        told = yaml.safe_load(recipe.read_text())
        one = recipe.with_name("one.yaml")
        one.write_text(yaml.safe_dump({**told, "targets": [{"runtime": "onnxruntime", "precisions": ["int8"]}]}))
        seconds = build(one, Path(folder, "whole"))
        digest = digest_in(Path(folder, "whole"))
        found, twice, cut = killed(one, Path(folder, "killed"), seconds, random.Random(SEED))
    case = f"killed at {KILLS} random moments"
    return [
        *rows,
        at_least(case, "same content digest", "builds", float(found == digest), 1, KILLS),
        at_most(case, "done steps done again", "steps", float(len(twice)), 0, KILLS),
        stated(case, "steps cut and done again", "steps", float(cut), KILLS),
    ]


if __name__ == "__main__":
    main(measure)
