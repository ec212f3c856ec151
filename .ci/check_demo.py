"""Hold the short demo's JSON against what issue and README promise of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

found = json.loads(Path(sys.argv[1]).read_text())
bundle = found["bundles"][0]
wrong = [key for key in ("parts", "escapes", "overkill", "verdict_ms") if key not in found]
wrong += [
    key
    for key in ("name", "task", "chosen", "speedup_vs_fp32", "metric_fp32", "metric_chosen", "drop_upper_bound")
    if key not in bundle
]
if not any("planted" in refusal["variant"] for refusal in bundle["refused"]):
    wrong.append("the planted variant was not refused")
if not (found["worker_kills"] and found["broker_kills"]):
    wrong.append("nothing was killed")
ledger = found["ledger"]
if ledger["produced"] != ledger["delivered"] + ledger["declared_lost"]:
    wrong.append(f"the account does not add up: {ledger}")
risk = found["stations"].get("market-risk", {})
wrong += [key for key in ("verdicts", "p50", "p99", "days", "exceptions", "expected", "kupiec_p") if key not in risk]
if bundle["verdict"] != "pass" or found["parts"] != 40:
    wrong.append(f"verdict {bundle['verdict']}, {found['parts']} parts")
sys.exit(f"the demo's JSON is not as promised: {wrong}" if wrong else 0)
