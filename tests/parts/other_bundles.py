"""Bundles that are almost another one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from edgemill_core.bundle import Bundle, VariantEntry, open_bundle, write_bundle
from edgemill_core.tasks import task_from


def another(bundle: Path, folder: Path, version: str = "9.9.9", **changes: Any) -> Bundle:
    """The same bundle under another version, with its manifest changed."""
    manifest = open_bundle(bundle).manifest.model_copy(update={"version": version, **changes})
    shutil.copytree(bundle, folder / f"copy-{version}")
    return write_bundle(folder / f"copy-{version}", manifest, folder / version)


def reads_otherwise(bundle: Bundle, folder: Path, version: str = "2.0.0") -> Bundle:
    """The same graphs, with letters exchanged, proved as such."""
    (model,) = bundle.manifest.models
    changed = model.model_copy(update={"task": {**model.task, "alphabet": model.task["alphabet"][::-1]}})
    task = task_from(changed.task)

    def decided(variant: VariantEntry) -> VariantEntry:
        outputs, contexts = np.load(bundle.path(variant.golden.outputs)), model.golden.contexts
        verdicts = [task.verdict({task.output: r[None]}, c) for r, c in zip(outputs, contexts, strict=True)]
        golden = variant.golden.model_copy(update={"decisions": tuple(one.decision.value for one in verdicts)})
        return variant.model_copy(update={"golden": golden})

    models = (changed.model_copy(update={"variants": tuple(map(decided, model.variants))}),)
    return another(bundle.folder, folder, version, models=models)
