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
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_core.row_input import RowInput
from edgemill_runtimes.pipeline import Pipeline, open_pipeline


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until the line process is gone.

    First message: ``bundle``, ``runtime``, ``ring`` (descriptor), ``slot_bytes``, ``gives`` (what the source gives).
    Sends ``{"ready": facts}``; gets ``{"number", "slot", "shape", "context"}``, or ``"fields"`` instead of slot and
    shape, and answers ``{"number", "verdict", "ms"}`` or ``{"number", "fault"}``.
    """
    bundle = open_bundle(Path(first["bundle"]))
    _check_source(bundle, first["gives"])
    ring = FrameRing(first["ring"], first["slot_bytes"])
    with open_pipeline(bundle, first["runtime"]) as pipeline:
        facts = pipeline.facts()
        pipeline.engine.warm_up()
        channel.send(
            {
                "ready": {
                    "bundle": bundle.manifest.name,
                    "version": bundle.manifest.version,
                    "digest": bundle.manifest.content_digest,
                    "runtime": facts.runtime,
                    "device": facts.device,
                }
            }
        )
        while (asked := channel.receive()) is not None:
            channel.send({"number": asked["number"], **_answer(pipeline, ring, asked)})


def _check_source(bundle: Bundle, gives: str) -> None:
    takes = "numbers" if isinstance(bundle.model.input, RowInput) else "pictures"
    if takes != gives:
        raise EngineError(
            f"the bundle is of another task than the source: {bundle.manifest.name} ({bundle.task.name})",
            expected=f"a source that gives {takes}",
            got=f"one that gives {gives}",
            fix="mend `bundle:` or `source:` of this station in the settings",
        )


def _answer(pipeline: Pipeline, ring: FrameRing, asked: Mapping[str, Any]) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        fields = asked.get("fields")
        part = fields if fields is not None else ring.read(asked["slot"], tuple(asked["shape"]))
        verdict = pipeline(part, asked["context"])
    except InputError as error:
        return {"fault": error.what}
    return {"verdict": verdict.as_dict(), "ms": round((time.perf_counter() - start) * 1e3, 3)}


if __name__ == "__main__":
    stand_back(WORKER)
    child_main(work)
