"""How the model came in: from which framework, by which exporter, and how closely its graph keeps to it."""

from __future__ import annotations

from edgemill_converters.parity import TOLERANCE, ImportFacts, Parity


def imported_rows(facts: ImportFacts) -> list[tuple[str, str]]:
    """Terms and what is said of them."""
    rows = [("framework", facts.framework)]
    if facts.exporter:
        rows.append(("translated by", facts.exporter))
    rows.append(("graph", f"opset {facts.opset}, IR version {facts.ir_version}"))
    if facts.pickled:
        rows.append(("pickle", "opened, which runs whatever code it holds: the recipe says trust: true"))
    parity = facts.parity
    if parity is None:
        return [*rows, ("parity", "none to show: the graph is the model itself")]
    differences = "; ".join(f"{o.name}: {o.difference:.2g} (largest value {o.largest:.4g})" for o in parity.outputs)
    return [
        *rows,
        ("largest difference from the framework", f"{differences}; allowed: {TOLERANCE:g} of the largest value"),
        ("verdicts that flip", _flips(parity)),
    ]


def _flips(parity: Parity) -> str:
    seen = f"on {parity.samples:,} judge samples, imported graph on ONNX Runtime beside the framework itself"
    return f"figures, which do not flip ({seen})" if parity.flips is None else f"{parity.flips:,} {seen}"
