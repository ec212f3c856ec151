"""The demo's own figures on seeds 1 to 5: escapes, overkill, and the planted variant. Takes about 15 minutes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from form import Row, at_least, at_most, main, stated

COMMAND = str(Path(sys.executable).parent / "edgemill")
SEEDS, PARTS = (1, 2, 3, 4, 5), 300


def _unaccounted(ledger: dict[str, int]) -> int:
    return abs(ledger["produced"] - ledger["delivered"] - ledger["declared_lost"])


def measure() -> list[Row]:
    rows = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as out:
            told = ["demo", "--headless", "--json", "--parts", str(PARTS), "--seed", str(seed), "--out", out]
            found = json.loads(subprocess.run([COMMAND, *told], check=True, capture_output=True, text=True).stdout)
        case, bundle = f"demo, seed {seed}", found["bundles"][0]
        bad = found["parts"] - found["readable"]
        planted = sum("planted" in refusal["variant"] for refusal in bundle["refused"])
        rows += [
            at_most(case, "escapes of bad parts", "%", 100 * found["escapes"] / bad, 1, bad),
            at_most(
                case, "overkill of good parts", "%", 100 * found["overkill"] / found["readable"], 5, found["readable"]
            ),
            at_most(case, "planted variants not refused", "variants", 1 - planted, 0, 1),
            at_most(case, "chosen slower than its FP32", "x", 1 / bundle["speedup_vs_fp32"], 1, 1),
            stated(case, f"speed-up of {bundle['chosen']['variant']}", "x", bundle["speedup_vs_fp32"], 1),
            stated(case, "verdict p50", "ms", found["verdict_ms"]["p50"], found["parts"]),
            at_least(case, "kills of workers and broker", "kills", found["worker_kills"] + found["broker_kills"], 2, 1),
            at_most(case, "verdicts without account", "verdicts", _unaccounted(found["ledger"]), 0, 1),
        ]
    risk = found["stations"]["market-risk"]
    rows += [
        stated("demo", "market-risk, exceptions at 99 %", "days", risk["exceptions"], risk["days"], risk["expected"]),
        stated("demo", "market-risk, Kupiec's p", "", risk["kupiec_p"], risk["days"]),
    ]
    return rows


if __name__ == "__main__":
    main(measure)
