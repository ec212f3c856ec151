"""Evidence goes from a box to a recipe: frames, a table, labels that somebody writes in, and samples."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from agent_box import Box

from edgemill.cli.ledger import evidence
from edgemill_agent.evidence_export import export_evidence
from edgemill_agent.evidence_list import list_evidence
from edgemill_agent.ledger import LedgerView
from edgemill_converters.readers.evidence import read_evidence
from edgemill_core.errors import InputError, LedgerError
from edgemill_core.evidence_table import COLUMNS


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "evidence.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(folder: Path, told: list[dict[str, str]]) -> None:
    with (folder / "evidence.csv").open("w", newline="", encoding="utf-8-sig") as file:  # as a spreadsheet saves it
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(told)


def test_evidence_comes_back_as_labelled_samples(box: Box, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box.settings["stations"][0]["evidence"] = {"keep": ["reject"]}
    box.run()
    view, out = LedgerView.open(box.state), tmp_path / "out"
    listed = list_evidence(view)
    capsys.readouterr()
    evidence(box.state, "", 2, out, json=True)
    assert json.loads(capsys.readouterr().out) == {"folder": str(out), "parts": 2}
    told = lines(out)
    assert [line["number"] for line in told] == [str(one.number) for one in listed[-2:]]
    assert {line["decision"] for line in told} == {"reject"}
    assert [sample.truth for sample in read_evidence(out)] == [None, None]
    told[0]["good"], told[1]["class"] = "1", "scratch"
    write(out, told)
    assert export_evidence(view, listed, out) == len(listed) > 2
    samples = {sample.id: sample for sample in read_evidence(out)}
    assert all(sample.picture.is_file() for sample in samples.values())
    first, second = (samples[line["file"]].truth for line in told)
    assert first is not None
    assert first.good is True
    assert second is not None
    assert (second.good, second.class_name) == (None, "scratch")
    assert sum(sample.truth is None for sample in samples.values()) == len(listed) - 2
    assert len(read_evidence(out, unlabelled="leave out")) == 2
    _is_refused(box, view, out)


def _is_refused(box: Box, view: LedgerView, out: Path) -> None:
    """Another box's folder, a folder in the way, an altered frame."""
    listed = list_evidence(view)
    other = [dict(line, ledger="another") for line in lines(out)[:1]]
    shutil.copytree(out, out.with_name("other"))
    write(out.with_name("other"), other)
    with pytest.raises(InputError, match="another ledger"):
        export_evidence(view, listed, out.with_name("other"))
    out.with_name("file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be exported"):
        export_evidence(view, listed, out.with_name("file"))
    (box.state / listed[0].file).write_bytes(b"x")
    with pytest.raises(LedgerError, match="not the one that was recorded"):
        export_evidence(view, listed, out)
