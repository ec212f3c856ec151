"""Answers frames with verdicts. Holds the native runtime, so it may die: the line process does not."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgemill_agent.frame_ring import FrameRing
from edgemill_agent.processes.priority import WORKER, stand_back
from edgemill_core.bundle import Bundle, open_bundle
from edgemill_core.engine_input import said
from edgemill_core.errors import EngineError, InputError
from edgemill_core.picture_quality import PictureQuality
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_core.verdict import Verdict
from edgemill_runtimes.frames.quality import QualityGate
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES
from edgemill_runtimes.pipeline import Pipeline, engines_of, open_pipeline
from edgemill_runtimes.proof import prove_all

_AHEAD = 2
"""Questions that wait here, so that an engine at several parts at once never waits for the line."""


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until the line process is gone.

    First message: ``bundle``, ``runtime``, ``tune`` (the station's own settings of the task), ``mode`` (of the engine),
    ``prove`` (whether to prove the engine even without such settings), ``may_differ`` (golden samples that may be
    decided otherwise than at build), ``plans`` (folder of this box's plans of TensorRT, or ``None``), ``quality`` (of
    pictures, or ``None``), ``ring`` (descriptor), ``slot_bytes``, ``gives`` (what the source gives).
    Sends ``{"ready": facts, "depth": questions at once}``; gets ``{"number", "slot", "shape", "context"}``, or
    ``"fields"`` instead of slot and shape, and answers ``{"number", "verdict", "ms"}``, with ``"unfit"`` where the
    picture could not be judged, or ``{"number", "fault"}``.
    """
    bundle = open_bundle(Path(first["bundle"]))
    _check_source(bundle, first["gives"])
    ring = FrameRing(first["ring"], first["slot_bytes"])
    gate = QualityGate(PictureQuality.model_validate(first["quality"])) if first["quality"] else None
    plans = Path(first["plans"]) if first["plans"] else None
    with open_pipeline(bundle, first["runtime"], mode=first["mode"], plans=plans) as pipeline:
        # A plan may have come from another box, or with another driver: it is proved each time.
        always = first["prove"] or pipeline.runtime in NVIDIA_RUNTIMES
        own = _proved(pipeline, bundle, first["tune"], first["may_differ"], always)
        pipeline.warm_up()
        judge = Judge(pipeline, gate, ring)
        ahead = _AHEAD if judge.depth > 1 else 0
        channel.send({"ready": {**_facts(pipeline, bundle), **own}, "depth": judge.depth + ahead})
        _answer_all(channel, judge)


def _answer_all(channel: Channel, judge: Judge) -> None:
    """In the order of the questions, ``depth`` of them at once if so many are there."""
    begun: deque[tuple[int, Callable[[], dict[str, Any]]]] = deque()
    while True:
        while len(begun) < judge.depth:
            came, asked = channel.receive_if_there() if begun else (True, channel.receive())
            if not came:
                break
            if asked is None:
                return
            begun.append((asked["number"], judge.begin(asked)))
        number, answer = begun.popleft()
        channel.send({"number": number, **answer()})


def _check_source(bundle: Bundle, gives: str) -> None:
    takes = said(bundle.model.input)
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


def _proved(
    pipeline: Pipeline, bundle: Bundle, own: Mapping[str, Any], may_differ: int, always: bool
) -> dict[str, Any]:
    """Give the task the station's own settings, and prove the engine with them; both go into the ledger."""
    if not own and not always:
        return {}
    if own:
        pipeline.tune(own)
    proofs = list(prove_all(pipeline, bundle, may_differ).values())
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


class Judge:
    """What a question is answered with: the pipeline, or the gate before it.

    Attributes:
        depth: how many questions at once keep the engines busy.
    """

    def __init__(self, pipeline: Pipeline, gate: QualityGate | None, ring: FrameRing) -> None:
        self.depth = pipeline.depth
        self._pipeline, self._gate, self._ring = pipeline, gate, ring

    def begin(self, asked: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
        """Begin with one question; what this gives waits for the answer."""
        start = time.perf_counter()
        try:
            begun = self._begin(asked)
        except InputError as error:
            fault = {"fault": error.what}
            return lambda: fault

        def answer() -> dict[str, Any]:
            try:
                told = begun()
            except InputError as error:
                return {"fault": error.what}
            return {**told, "ms": round((time.perf_counter() - start) * 1e3, 3)}

        return answer

    def _begin(self, asked: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
        part, gate = asked.get("fields"), self._gate
        if part is None:
            part = self._ring.read(asked["slot"], tuple(asked["shape"]))
            if gate is not None and (unfit := gate.look(part)) is not None:
                told = {"verdict": Verdict(gate.decision, (unfit.why,)).as_dict(), "unfit": unfit.what}
                return lambda: told
        if self.depth == 1:
            return lambda: {"verdict": self._pipeline(part, asked["context"]).as_dict()}
        verdict = self._pipeline.begin(part, asked["context"])
        return lambda: {"verdict": verdict().as_dict()}


if __name__ == "__main__":
    stand_back(WORKER)
    child_main(work)
