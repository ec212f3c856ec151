"""``edgemill check``."""

from __future__ import annotations

import sys
from pathlib import Path

from edgemill.cli.output import print_json, print_line
from edgemill_core.bundle import open_bundle
from edgemill_core.errors import ProofError
from edgemill_runtimes.pipeline import variant_for
from edgemill_runtimes.proof import frames_hold, prove


def run(folder: Path, runtime: str | None, allow: int, json: bool) -> None:
    """Verify digests, then prove each variant; exit 1 if a proof fails."""
    bundle = open_bundle(folder)
    files = len(bundle.manifest.files) + len(bundle.manifest.records)
    variants = [variant_for(bundle, runtime)] if runtime else list(bundle.model.variants)
    frames = frames_hold(bundle)
    proofs = [prove(bundle, variant, allow) for variant in variants]
    holds = frames and all(proof.holds for proof in proofs)
    if json:
        print_json(
            {
                "bundle": str(folder),
                "content_digest": bundle.manifest.content_digest,
                "files": files,
                "frames_hold": frames,
                "proofs": [proof.as_dict() for proof in proofs],
                "holds": holds,
            }
        )
        sys.exit(0 if holds else ProofError.exit_code)
    print_line(f"{bundle.manifest.name} {bundle.manifest.version}: {files} files are as built")
    print_line(f"  pre-processing  {'same bytes as at build' if frames else 'DIFFERS from the build'}")
    for proof in proofs:
        print_line(
            f"  {proof.variant}  {'holds' if proof.holds else 'FAILS'}: {proof.changed} of {proof.samples} golden "
            f"decisions differ, outputs by at most {proof.largest_difference:.1e} (allowed {proof.tolerance:.0e})"
        )
    if not holds:
        notes = {proof.note for proof in proofs if proof.note}
        raise ProofError(
            "this machine does not decide as the bench did",
            expected=f"at most {allow} golden decisions to differ, outputs within tolerance, same pre-processing",
            got="; ".join(p.variant for p in proofs if not p.holds) or "pre-processing differs",
            fix="; ".join(notes) or "rebuild the bundle for this kind of box, or use another of its variants",
        )
