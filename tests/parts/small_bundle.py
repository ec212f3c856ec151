"""A bundle of made-up bytes, made in a millisecond."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgemill_core.bundle import (
    Bundle,
    GoldenEntry,
    GoldenInputs,
    Manifest,
    ModelEntry,
    Requirements,
    VariantEntry,
    describe_files,
    write_bundle,
)
from edgemill_core.picture_input import PictureInput

FILES = ("models/v/graph.onnx", "models/v/graph.weights", "golden/inputs.npy", "golden/v.npy", "golden/frame-0.png")
NEEDS = Requirements(least="1.20", built_with="1.24.1", opset=17, ir_version=8, disk_bytes=100)


def make_bundle(folder: Path, files: Mapping[str, bytes], **changes: Any) -> Bundle:
    """``b-1.0.0`` in ``folder``, with ``files`` beside those that it must have; ``changes`` are keys of its variant."""
    source = folder / "source"
    for name in FILES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(name.encode() * 3)
    np.save(source / FILES[2], np.zeros((2, 2, 2, 3), np.uint8))
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    (source / "report.html").write_text("fast")
    listed = [*FILES, *files]
    manifest = make_manifest(files=describe_files(source, listed), **changes)
    records = describe_files(source, ["report.html"])
    return write_bundle(source, manifest.model_copy(update={"records": records}), folder / "b-1.0.0")


def make_manifest(version: str = "1.0.0", files: Mapping[str, Any] | None = None, **changes: Any) -> Manifest:
    """Its manifest; ``changes`` are keys of its variant, and ``decisions`` of its golden samples."""
    decisions = changes.pop("decisions", ("pass", "reject"))
    variant = {
        "name": "v",
        "runtime": "onnxruntime",
        "device": "CPU",
        "precision": "fp32",
        "graph": FILES[0],
        "weights": FILES[1],
        "golden": GoldenEntry(outputs=FILES[3], decisions=decisions, tolerance=0.1),
        **changes,
    }
    golden = GoldenInputs(
        inputs=FILES[2],
        contexts=tuple({} for _ in decisions),
        reference=decisions,
        frames=(FILES[4],),
        prepared=("0",),
    )
    model = ModelEntry(
        name="b",
        task={"name": "text-recognition", "alphabet": "AB"},
        input=PictureInput(size=(2, 2)),
        golden=golden,
        variants=(VariantEntry(**variant),),
    )
    return Manifest(
        schema_version="1.4", min_agent="0.1.0", name="b", version=version, models=(model,), files=dict(files or {})
    )
