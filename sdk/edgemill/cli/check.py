"""``edgemill check``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edgemill.cli.given_bundle import open_given
from edgemill.cli.output import print_json, print_line
from edgemill_core.bundle import Bundle, VariantEntry
from edgemill_core.errors import MissingPartError, ProofError
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.nvidia.plan_facts import NVIDIA_RUNTIMES
from edgemill_runtimes.pipeline import open_pipeline, variant_for
from edgemill_runtimes.proof import Proof, frames_hold, prove, prove_all


def run(folder: Path, runtime: str | None, allow: int, json: bool, plans: Path | None = None) -> None:
    """Verify digests, then prove each variant; exit 1 if a proof fails.

    One for a GPU that is not here is passed over, and named.

    Args:
        plans: folder of what TensorRT compiled for this box; ``None`` for none but those in the bundle.

    Raises:
        MissingPartError: a runtime is not here, other than NVIDIA's; or none is, or not the one asked for.
    """
    bundle = open_given(folder)
    files = len(bundle.manifest.files) + len(bundle.manifest.records)
    variants = [variant_for(bundle, runtime)] if runtime else list(bundle.model.variants)
    frames = frames_hold(bundle)
    proofs, missing = _prove_all(bundle, variants, allow, plans)
    if not proofs:
        raise next(iter(missing.values()))
    holds = frames and all(proof.holds for proof in proofs)
    if json:
        print_json(
            {
                "bundle": str(folder),
                "content_digest": bundle.manifest.content_digest,
                "files": files,
                "frames_hold": frames,
                "proofs": [proof.as_dict() for proof in proofs],
                "not_here": {name: error.what for name, error in missing.items()},
                "all_proved": not missing,
                "holds": holds,
            }
        )
        sys.exit(0 if holds else ProofError.exit_code)
    print_line(f"{bundle.manifest.name} {bundle.manifest.version}: {files} files are as built")
    print_line(f"  pre-processing  {'same bytes as at build' if frames else 'DIFFERS from the build'}")
    for proof in proofs:
        print_line(f"  {proof.variant}  {'holds' if proof.holds else 'FAILS'}: {_found(proof)}")
    for name, error in missing.items():
        print_line(f"  {name}  not to be had here, so not proved: {error.what}")
    if not holds:
        notes = {proof.note for proof in proofs if proof.note}
        raise ProofError(
            "this machine does not decide as the bench did",
            expected=f"at most {allow} golden decisions to differ, outputs within tolerance, same pre-processing",
            got="; ".join(p.variant for p in proofs if not p.holds) or "pre-processing differs",
            fix="; ".join(notes) or "rebuild the bundle for this kind of box, or use another of its variants",
        )


def _prove_all(
    bundle: Bundle, variants: Sequence[VariantEntry], allow: int, plans: Path | None
) -> tuple[list[Proof], dict[str, MissingPartError]]:
    """The proofs, and why variants for GPUs are not to be had here, by name."""
    proofs: list[Proof] = []
    missing: dict[str, MissingPartError] = {}
    for variant in variants:
        try:
            proofs += _prove(bundle, variant, allow, plans)
        except MissingPartError as error:
            if variant.runtime not in NVIDIA_RUNTIMES:
                raise  # every box can have the others: one that has lost them is not as it should be
            missing[variant.name] = error
    return proofs, missing


def _prove(bundle: Bundle, variant: VariantEntry, allow: int, plans: Path | None) -> list[Proof]:
    isolated = variant.runtime in NVIDIA_RUNTIMES  # a driver in a bad way takes the process down
    if bundle.chain is None:
        return [prove(bundle, variant, allow, EngineSettings.for_variant(variant, plans=plans), isolated)]
    with open_pipeline(bundle, variant.runtime, isolated=isolated, plans=plans) as pipeline:
        return list(prove_all(pipeline, bundle, allow).values())


def _found(proof: Proof) -> str:
    differ = f"{proof.changed} of {proof.samples} golden decisions differ"
    if proof.tolerance == 0:  # frames of a chain have no outputs of their own
        return differ
    return f"{differ}, outputs by at most {proof.largest_difference:.1e} (allowed {proof.tolerance:.0e})"
