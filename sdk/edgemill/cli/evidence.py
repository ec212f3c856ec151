"""``edgemill run BUNDLE STATE --evidence NUMBER``: one part judged again, as it was judged on the line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemill.cli.given_bundle import open_given
from edgemill.cli.output import print_json, print_line
from edgemill_agent.evidence import Evidence, find_evidence
from edgemill_agent.ledger import LedgerView
from edgemill_core.bundle import Bundle
from edgemill_core.errors import InputError, ProofError
from edgemill_core.inspection import in_words
from edgemill_core.picture_input import PictureInput
from edgemill_core.verdict import Verdict
from edgemill_runtimes.frames import read_picture
from edgemill_runtimes.frames.annotate import annotate
from edgemill_runtimes.pipeline import Pipeline, open_pipeline


@dataclass(frozen=True)
class Again:
    """What the command line said."""

    bundle: Path
    inputs: tuple[Path, ...]
    number: int
    runtime: str | None
    save: Path | None
    json: bool
    plans: Path | None = None


def run_again(told: Again) -> None:
    """Judge the part with the bundle, the runtime and the settings that judged it then; 1 if it is judged otherwise."""
    if len(told.inputs) != 1:
        raise InputError(
            "--evidence looks at one ledger",
            expected="BUNDLE, the agent's state folder, --evidence NUMBER",
            got=f"{len(told.inputs)} inputs",
            fix="name one state folder",
        )
    bundle = open_given(told.bundle)
    evidence = find_evidence(LedgerView.open(told.inputs[0]), told.number)
    _check_bundle(bundle, evidence)
    with open_pipeline(bundle, told.runtime or evidence.engine.get("runtime"), plans=told.plans) as pipeline:
        pipeline.tune(evidence.engine.get("tune", {}))
        verdict = _judge(pipeline, evidence, told.save)
        runtime = pipeline.runtime
    now = verdict.as_dict()
    same = {key: now[key] for key in ("decision", "reasons", "reading")} == {
        key: evidence.verdict[key] for key in ("decision", "reasons", "reading")
    }
    if told.json:
        print_json({**_about(evidence), "runtime": runtime, "then": dict(evidence.verdict), "now": now, "same": same})
    else:
        _print(evidence, runtime, verdict, same)
    if not same and evidence.by_engine:
        sys.exit(ProofError.exit_code)


def _check_bundle(bundle: Bundle, evidence: Evidence) -> None:
    then = evidence.engine.get("digest")
    if then is None and evidence.by_engine:
        raise InputError(
            f"nobody knows any more which engine judged part {evidence.number}",
            expected="the record of that engine's start",
            got="it was trimmed with the headers",
            fix="raise `headers:` under `retention:`; to see what a bundle says, run it on the kept frame itself",
        )
    if then is not None and then != bundle.manifest.content_digest:
        raise InputError(
            f"part {evidence.number} was judged by another bundle",
            expected=f"{evidence.engine.get('bundle')} {evidence.engine.get('version')}, content {then}",
            got=f"{bundle.manifest.name} {bundle.manifest.version}, content {bundle.manifest.content_digest}",
            fix="name the bundle that judged it; for another one's verdict, run that on the kept frame itself",
        )


def _judge(pipeline: Pipeline, evidence: Evidence, save: Path | None) -> Verdict:
    if evidence.frame is None:
        return pipeline(evidence.fields or {}, evidence.context)
    frame = read_picture(evidence.frame)
    verdict = pipeline(frame, evidence.context)
    if save is not None and isinstance(pipeline.declared, PictureInput):
        save.mkdir(parents=True, exist_ok=True)
        annotate(frame, pipeline.declared.region, verdict, save / evidence.frame.name)
    return verdict


def _about(evidence: Evidence) -> dict[str, Any]:
    return {
        "number": evidence.number,
        "station": evidence.station,
        "item": evidence.item,
        "context": dict(evidence.context),
        "frame": str(evidence.frame) if evidence.frame else None,
        "by_engine": evidence.by_engine,
        "engine": dict(evidence.engine),
    }


def _print(evidence: Evidence, runtime: str, verdict: Verdict, same: bool) -> None:
    engine = evidence.engine
    print_line(f"part {evidence.number} of station {evidence.station}: {evidence.item}")
    known = f"{engine['bundle']} {engine['version']} on {engine['runtime']}" if engine else "an engine not recorded"
    judge = known if evidence.by_engine else "the line itself: no engine was asked, or none answered in time"
    print_line(f"  judged by  {judge}")
    then = evidence.verdict
    print_line(f"  then       {_said(then['decision'], then['reasons'], then['reading'])}")
    print_line(f"  now        {_said(verdict.decision.value, verdict.reasons, verdict.reading)} ({runtime})")
    if evidence.by_engine:
        print_line(f"  {'the same' if same else 'NOT THE SAME'}")


def _said(decision: str, reasons: Any, reading: Any) -> str:
    words = "; ".join(reasons) or ", ".join(in_words(reading).values())
    return f"{decision}  {words}"
