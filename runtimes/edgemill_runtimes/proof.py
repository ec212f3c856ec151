"""Prove on this box that a bundle still decides as it did on the bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgemill_core.bundle import Bundle, VariantEntry, through
from edgemill_core.chain import StageSaw, conclude
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import BundleError
from edgemill_core.picture_input import PictureInput
from edgemill_core.tasks import Task, task_from
from edgemill_core.tensors import Array
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.frames import prepare, read_picture
from edgemill_runtimes.machine import this_machine
from edgemill_runtimes.pipeline import ChainPipeline, ModelPipeline, Pipeline, open_model, variant_for

if TYPE_CHECKING:
    from edgemill_runtimes.isolation.process import Isolation


@dataclass(frozen=True)
class Proof:
    """What this box found out about one variant.

    Attributes:
        samples: golden samples that were run.
        changed: golden samples whose decision differs from the one at build.
        largest_difference: of the outputs, absolute; infinite where their shapes differ.
        tolerance: what the manifest allows.
        holds: at most the allowed number changed, and outputs within tolerance.
        note: why the outputs may differ, where that is known.
        moved: golden samples that the box's own settings decide otherwise than the bundle's.
    """

    variant: str
    samples: int
    changed: int
    largest_difference: float
    tolerance: float
    holds: bool
    note: str
    moved: int = 0

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form; a difference that is no finite number becomes ``None``."""
        finite = np.isfinite(self.largest_difference)
        return {**asdict(self), "largest_difference": self.largest_difference if finite else None}


def prove(
    bundle: Bundle,
    variant: VariantEntry,
    allowed: int = 0,
    settings: EngineSettings | None = None,
    isolated: bool | Isolation = False,
) -> Proof:
    """Run the golden samples through ``variant`` and compare with what it answered when it was built.

    Args:
        bundle: a verified bundle.
        variant: one of its variants.
        allowed: how many decisions may differ.
        settings: of its engine, on the variant's own device if not given.
        isolated: as for ``load``.

    Raises:
        MissingPartError: the variant's runtime is not installed here.
        BundleError: the golden samples cannot be read, or do not belong together.
    """
    with open_model(bundle, variant, settings, isolated) as pipeline:
        return prove_open(pipeline, bundle, variant, allowed)


def prove_all(pipeline: Pipeline, bundle: Bundle, allowed: int = 0) -> dict[str, Proof]:
    """``prove_open`` for every engine of an open pipeline, and of a chain also the golden frames from end to end.

    Returns:
        By the variant's name; of a chain by ``STAGE/VARIANT``, and ``chain/RUNTIME`` last.

    Raises:
        BundleError: the golden samples cannot be read, or do not belong together.
    """
    if isinstance(pipeline, ModelPipeline):
        variant = variant_for(bundle, pipeline.runtime)
        return {variant.name: prove_open(pipeline, bundle, variant, allowed)}
    assert isinstance(pipeline, ChainPipeline)
    proofs = {}
    for one, alone in zip(pipeline.stages, bundle.alone(), strict=True):
        variant = variant_for(alone, pipeline.runtime)
        proof = prove_open(one.model, alone, variant, allowed)
        proofs[f"{one.stage.name}/{variant.name}"] = replace(proof, variant=f"{one.stage.name}/{variant.name}")
    chain = prove_frames(pipeline, bundle, allowed)
    return {**proofs, chain.variant: chain}


def prove_frames(pipeline: ChainPipeline, bundle: Bundle, allowed: int = 0) -> Proof:
    """Judge the golden frames of a chain: decisions and number of looks as when it was built.

    It is held to that with the bundle's own tasks; ``moved`` says how many frames a box's own settings decide
    otherwise.

    Raises:
        BundleError: the frames do not belong together, or none were judged on this runtime.
    """
    assert bundle.chain is not None
    golden, runtime = bundle.chain.golden, pipeline.runtime
    decisions, looks = golden.decisions.get(runtime, ()), golden.looks.get(runtime, ())
    _check_counts({"frames": golden.frames, "contexts": golden.contexts, "decisions": decisions, "looks": looks})
    built = {one.name: task_from(one.task) for one in bundle.manifest.models}
    changed = moved = 0
    for name, context, said, looked in zip(golden.frames, golden.contexts, decisions, looks, strict=True):
        frame = read_picture(bundle.path(name))
        saw = pipeline.look(frame, context, built)
        changed += (conclude(saw).decision.value, looks_of(saw)) != (said, looked)
        if pipeline.is_tuned:
            moved += pipeline(frame, context).decision.value != said
    variants = [variant_for(one, runtime) for one in bundle.alone()]
    note = "; ".join(dict.fromkeys(filter(None, map(_note, variants))))
    return Proof(f"chain/{runtime}", len(golden.frames), changed, 0.0, 0.0, changed <= allowed, note, moved)


def looks_of(saw: Sequence[StageSaw]) -> tuple[int, ...]:
    """How often each stage looked, as golden frames record it."""
    return tuple(len(one.seen) for one in saw)


def prove_open(pipeline: ModelPipeline, bundle: Bundle, variant: VariantEntry, allowed: int = 0) -> Proof:
    """``prove`` with a pipeline that is open already, and whose task a box may have tuned.

    A tuned task is held to what it makes of the outputs that the variant gave when it was built.

    Raises:
        BundleError: the golden samples cannot be read, or do not belong together.
    """
    golden, task = bundle.model.golden, pipeline.task
    inputs, expected = load_array(bundle, golden.inputs), load_array(bundle, variant.golden.outputs)
    built = variant.golden.decisions
    _check_counts({"inputs": inputs, "outputs": expected, "contexts": golden.contexts, "decisions": built})
    outputs = [pipeline.outputs(row[None]) for row in inputs]
    decisions = [_decision(task, output, context) for output, context in zip(outputs, golden.contexts, strict=True)]
    then = [
        _decision(task, {task.output: row[None]}, context)
        for row, context in zip(expected, golden.contexts, strict=True)
    ]
    found = np.concatenate([output[task.output] for output in outputs])
    difference = float(np.max(np.abs(found - expected))) if found.shape == expected.shape else float("inf")
    same_task = task == bundle.task
    changed = _unlike(decisions, built if same_task else then)
    tolerance = variant.golden.tolerance
    holds = changed <= allowed and difference <= tolerance
    moved = 0 if same_task else _unlike(then, built)
    return Proof(variant.name, len(inputs), changed, difference, tolerance, holds, _note(variant), moved)


def _decision(task: Task, outputs: Mapping[str, Array], context: Mapping[str, str]) -> str:
    return task.verdict(outputs, context).decision.value


def _unlike(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(left != right for left, right in zip(one, other, strict=True))


def frames_hold(bundle: Bundle) -> bool:
    """Whether decode, crop and resize give on this box the very bytes they gave at build; of a chain for every stage.

    Raises:
        BundleError: the golden frames do not belong together.
        InputError: one of them is no picture, or smaller than the region.
    """
    if bundle.chain is not None:
        return all(frames_hold(one) for one in bundle.alone())
    golden, declared = bundle.model.golden, bundle.model.input
    if not isinstance(declared, PictureInput):
        return True  # numbers and tensors go in as they are
    _check_counts({"frames": golden.frames, "prepared": golden.prepared})
    return all(
        sha256_bytes(prepare(read_picture(bundle.path(name)), declared).tobytes()) == digest
        for name, digest in zip(golden.frames, golden.prepared, strict=True)
    )


def load_array(bundle: Bundle, name: str) -> Array:
    """An ``.npy`` file of the bundle; pickles are never loaded.

    Raises:
        BundleError: it is no such file.
    """
    try:
        found: Array = np.load(bundle.path(name), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise BundleError(
            f"{name} in the bundle cannot be read",
            expected="a .npy file without pickles",
            got=str(error),
            fix="rebuild the bundle with `edgemill build`",
        ) from error
    return found


def _check_counts(golden: Mapping[str, Sized]) -> None:
    counts = {name: len(values) for name, values in golden.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise BundleError(
            "the golden samples do not belong together",
            expected="as many of each, at least one",
            got=", ".join(f"{count} {name}" for name, count in counts.items()),
            fix="rebuild the bundle with `edgemill build`",
        )


def _note(variant: VariantEntry) -> str:
    here = this_machine().int8_family
    if variant.golden.stand_in is not None:
        return f"{variant.name} was {through(variant.golden.stand_in)}"
    if variant.cpu is not None and variant.cpu != here:
        return f"INT8 built on {variant.cpu}, this box is {here}: its INT8 arithmetic differs"
    return ""
