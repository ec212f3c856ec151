"""Answers frames with verdicts. Holds the native runtime, so it may die: the line process does not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgemill_agent.frame_ring import FrameRing
from edgemill_agent.processes.priority import WORKER, stand_back
from edgemill_core.bundle import Bundle, open_bundle
from edgemill_core.errors import EngineError, InputError
from edgemill_core.picture_quality import PictureQuality
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_core.row_input import RowInput
from edgemill_core.verdict import Verdict
from edgemill_runtimes.frames.quality import QualityGate
from edgemill_runtimes.pipeline import Pipeline, engines_of, open_pipeline
from edgemill_runtimes.proof import prove_all


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until the line process is gone.

    First message: ``bundle``, ``runtime``, ``tune`` (the station's own settings of the task), ``prove`` (whether to
    prove the engine even without such settings), ``quality`` (of pictures, or ``None``), ``ring`` (descriptor),
    ``slot_bytes``, ``gives`` (what the source gives).
    Sends ``{"ready": facts}``; gets ``{"number", "slot", "shape", "context"}``, or ``"fields"`` instead of slot and
    shape, and answers ``{"number", "verdict", "ms"}``, with ``"unfit"`` where the picture could not be
    judged, or ``{"number", "fault"}``.
    """
    bundle = open_bundle(Path(first["bundle"]))
    _check_source(bundle, first["gives"])
    ring = FrameRing(first["ring"], first["slot_bytes"])
    gate = QualityGate(PictureQuality.model_validate(first["quality"])) if first["quality"] else None
    with open_pipeline(bundle, first["runtime"]) as pipeline:
        own = _proved(pipeline, bundle, first["tune"], first["prove"])
        pipeline.warm_up()
        channel.send({"ready": {**_facts(pipeline, bundle), **own}})
        while (asked := channel.receive()) is not None:
            channel.send({"number": asked["number"], **_answer(pipeline, gate, ring, asked)})


def _check_source(bundle: Bundle, gives: str) -> None:
    takes = "numbers" if isinstance(bundle.model.input, RowInput) else "pictures"
    if takes != gives:
        raise EngineError(
            f"the bundle is of another task than the source: {bundle.manifest.name} ({bundle.task.name})",
            expected=f"a source that gives {takes}",
            got=f"one that gives {gives}",
            fix="mend `bundle:` or `source:` of this station in the settings",
        )


def _facts(pipeline: Pipeline, bundle: Bundle) -> dict[str, Any]:
    facts = pipeline.facts()
    return {
        "bundle": bundle.manifest.name,
        "version": bundle.manifest.version,
        "digest": bundle.manifest.content_digest,
        "runtime": facts.runtime,
        "device": facts.device,
        **({"stages": engines_of(bundle, facts.runtime)} if bundle.chain else {}),
    }


def _proved(pipeline: Pipeline, bundle: Bundle, own: Mapping[str, Any], always: bool) -> dict[str, Any]:
    """Give the task the station's own settings, and prove the engine with them; both go into the ledger."""
    if not own and not always:
        return {}
    if own:
        pipeline.tune(own)
    proofs = list(prove_all(pipeline, bundle).values())
    for proof in proofs:
        if not proof.holds:
            whose = " with the station's own settings" if own else ""
            raise EngineError(
                f"the engine is not proved{whose}: {bundle.manifest.name} ({proof.variant})",
                expected=f"{proof.samples} golden samples decided as at build, outputs within {proof.tolerance:g}",
                got=f"{proof.changed} decided otherwise, outputs up to {proof.largest_difference:.4g} apart",
                fix="run `edgemill check` on this box; the bundle must decide here as it did on the bench",
            )
    stages = {"stage_proofs": [proof.as_dict() for proof in proofs[:-1]]} if bundle.chain else {}
    return {**({"tune": dict(own)} if own else {}), "proof": proofs[-1].as_dict(), **stages}


def _answer(pipeline: Pipeline, gate: QualityGate | None, ring: FrameRing, asked: Mapping[str, Any]) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        told = _judged(pipeline, gate, ring, asked)
    except InputError as error:
        return {"fault": error.what}
    return {**told, "ms": round((time.perf_counter() - start) * 1e3, 3)}


def _judged(pipeline: Pipeline, gate: QualityGate | None, ring: FrameRing, asked: Mapping[str, Any]) -> dict[str, Any]:
    fields = asked.get("fields")
    if fields is not None:
        return {"verdict": pipeline(fields, asked["context"]).as_dict()}
    frame = ring.read(asked["slot"], tuple(asked["shape"]))
    unfit = gate.look(frame) if gate is not None else None
    if gate is None or unfit is None:
        return {"verdict": pipeline(frame, asked["context"]).as_dict()}
    return {"verdict": Verdict(gate.decision, (unfit.why,)).as_dict(), "unfit": unfit.what}


if __name__ == "__main__":
    stand_back(WORKER)
    child_main(work)
