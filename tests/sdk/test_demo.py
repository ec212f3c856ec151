"""The demo, by its own command, on the real model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemill_agent.ledger import LedgerView
from edgemill_core.bundle import open_bundle
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
    assert ledger["produced"] == 60 == ledger["delivered"] + ledger["declared_lost"]
    assert found["stations"]["lot-code"]["verdicts"] == 60
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


def test_it_leaves_a_bundle_a_report_and_a_contact_sheet(demo: Demo) -> None:
    folder, found = demo
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

    parts = [part(good, decision) for good in (True, False) for decision in Decision]
    if shown:
        with live_table(len(parts)) as seen:
            for one in parts:
                seen(one)
    fates = [one.fate for one in parts]
    assert fates.count(Fate.ESCAPE) == count(parts, Fate.ESCAPE) == 1
    assert fates.count(Fate.OVERKILL) == 2
    assert line_summary(parts)["escapes"] == 1
