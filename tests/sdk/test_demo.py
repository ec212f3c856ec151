"""The demo, by its own command, on the real model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemill.demo.market_risk import read_days
from edgemill_agent.ledger import LedgerView
from edgemill_core.bundle import open_bundle
from edgemill_core.statistics import kupiec_p_value
from edgemill_runtimes.frames import read_picture

Demo = tuple[Path, dict[str, Any]]


def test_it_prints_all_that_was_promised(demo: Demo) -> None:
    found = demo[1]
    assert found["parts"] == 60
    assert found["readable"] + 5 < 60
    assert set(found["verdict_ms"]) == {"p50", "p99"}
    bundle = found["bundles"][0]
    assert bundle["name"] == "lot-code"
    assert bundle["task"] == "text-recognition"
    assert set(bundle["chosen"]) >= {"runtime", "precision"}
    for key in ("metric_fp32", "metric_chosen", "drop_upper_bound", "budget"):
        assert set(bundle[key]) == {"escape_rate", "overkill_rate"}


def test_every_verdict_is_accounted_for_although_things_were_killed(demo: Demo) -> None:
    found = demo[1]
    assert found["worker_kills"] == found["broker_kills"] == 1
    ledger = found["ledger"]
    days = found["stations"]["market-risk"]["days"]
    assert days > 2000
    assert ledger["produced"] == 60 + days == ledger["delivered"] + ledger["declared_lost"]
    assert found["stations"]["lot-code"]["verdicts"] == 60
    assert found["stations"]["market-risk"]["verdicts"] == days
    assert set(found["stations"]["lot-code"]) == {"verdicts", "p50", "p99"}
    assert LedgerView.open(demo[0] / "demo-out" / "state").verify() is None


def test_few_parts_escape_or_are_rejected_for_nothing(demo: Demo) -> None:
    found = demo[1]
    assert found["escapes"] <= 0.01 * (found["parts"] - found["readable"])
    assert found["overkill"] <= 0.05 * found["readable"]


def test_the_planted_variant_is_refused_by_the_judge(demo: Demo) -> None:
    refused = {refusal["variant"]: refusal["why"] for refusal in demo[1]["bundles"][0]["refused"]}
    planted = next(why for name, why in refused.items() if "planted" in name)
    assert planted.startswith("fail")


def test_the_chosen_variant_keeps_its_budget_and_is_no_slower_than_fp32(demo: Demo) -> None:
    bundle = demo[1]["bundles"][0]
    assert bundle["verdict"] == "pass"
    assert bundle["speedup_vs_fp32"] >= 1
    for metric, budget in bundle["budget"].items():
        assert bundle["drop_upper_bound"][metric] <= budget["max_drop"]


def test_each_variant_ships_or_says_why_not(demo: Demo) -> None:
    bundle = demo[1]["bundles"][0]
    refused = [refusal["variant"] for refusal in bundle["refused"]]
    assert len(bundle["shipped"]) == 2
    assert len(refused) == 3
    assert not set(refused) & set(bundle["shipped"])


def test_market_risk_is_replayed_and_its_exceptions_are_counted(demo: Demo) -> None:
    found = demo[1]["stations"]["market-risk"]
    assert set(found) == {"verdicts", "p50", "p99", "days", "exceptions", "expected", "kupiec_p"}
    assert found["expected"] == pytest.approx(0.01 * found["days"], abs=0.01)
    assert found["kupiec_p"] == pytest.approx(kupiec_p_value(found["exceptions"], found["days"], 0.01), abs=1e-6)
    assert 0.3 * found["expected"] < found["exceptions"] < 3 * found["expected"]


def test_the_exceptions_are_those_that_an_own_count_finds(demo: Demo) -> None:
    outcomes = {day.day.isoformat(): day.outcome for day in read_days()}
    view = LedgerView.open(demo[0] / "demo-out" / "state")
    told = [
        r.payload.content()
        for r in view.records()
        if r.header.station == "market-risk" and r.header.number and r.payload
    ]
    missed = sum(outcomes[one["item"]] < -one["verdict"]["reading"]["var_99"] for one in told)
    assert missed == demo[1]["stations"]["market-risk"]["exceptions"]


def test_the_risk_bundle_gives_the_models_own_figures(demo: Demo) -> None:
    risk = demo[1]["bundles"][1]
    assert (risk["name"], risk["task"], risk["verdict"]) == ("market-risk", "market-risk", "pass")
    assert risk["drop_upper_bound"] == {"pinball_loss": 0.0}


def test_rejected_parts_are_kept_as_evidence(demo: Demo) -> None:
    kept = list((demo[0] / "demo-out" / "state" / "evidence" / "lot-code").iterdir())
    assert demo[1]["parts"] - demo[1]["readable"] <= len(kept) < demo[1]["parts"]


def test_it_leaves_bundles_reports_and_pictures(demo: Demo) -> None:
    folder, found = demo
    assert "<svg" in (folder / found["risk_report"]).read_text()
    assert read_picture(folder / found["backtest"]).shape[1] > 1000
    assert open_bundle(folder / found["bundles"][0]["bundle"]).manifest.name == "lot-code"
    assert "<svg" in (folder / found["report"]).read_text()
    assert read_picture(folder / found["contact_sheet"]).shape[1] == 1400


def test_it_refuses_a_folder_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    done = subprocess.run(
        [sys.executable, "-m", "edgemill", "demo", "--headless", "--out", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "something that the demo did not make" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "ten years of work"


def test_it_says_which_packages_are_missing(tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'skimage' else real(name, *a)\n"
        f"sys.argv = ['edgemill', 'demo', '--out', {str(tmp_path / 'out')!r}]\n"
        "from edgemill.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3
    assert "skimage" in done.stderr
    assert "make demo" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shown", [True, False])
def test_the_live_table_follows_the_line(demo: Demo, shown: bool) -> None:
    from edgemill.demo.line import Fate, Part, count, line_summary
    from edgemill.demo.live import live_table
    from edgemill_core.samples import Sample, Truth
    from edgemill_core.verdict import Decision, Verdict

    def part(good: bool, decision: Decision) -> Part:
        sample = Sample("a.png", Path("a.png"), {"expected": "L1"}, Truth(good, "L1"))
        return Part(sample, Verdict(decision, (), 0.9, {"text": "L1"}), 5.0)

    decided = (Decision.PASS, Decision.REJECT, Decision.UNCERTAIN)
    parts = [part(good, decision) for good in (True, False) for decision in decided]
    if shown:
        with live_table(len(parts)) as seen:
            for one in parts:
                seen(one)
    fates = [one.fate for one in parts]
    assert fates.count(Fate.ESCAPE) == count(parts, Fate.ESCAPE) == 1
    assert fates.count(Fate.OVERKILL) == 2
    assert line_summary(parts)["escapes"] == 1
