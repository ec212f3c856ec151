"""Each station's own ring of kept frames: its quota, its age, and what the list says of it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_box import Box
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_agent.clock import Clock
from edgemill_agent.evidence_list import list_evidence
from edgemill_agent.ledger import Ages, Entry, Ledger, LedgerView, open_ledger
from edgemill_agent.settings import read_settings
from edgemill_core.durable import sha256_bytes
from edgemill_core.errors import SettingsError
from edgemill_core.ledger import EVICTED_FIRST, Declared, Header, Kind, Payload, Record

QUOTA = 16 << 20
FOR_EVER = Ages(dict.fromkeys(EVICTED_FIRST, 1e12), 1e12)
Command = Callable[..., subprocess.CompletedProcess[str]]


def keep(ledger: Ledger, station: str, number: int, size: int, most: int | None) -> bool:
    """What station and source worker do together."""
    ledger.append([Entry(Kind.VERDICT, {"verdict": {"reasons": ["why"]}}, number, station, "reject", f"{number}")])
    if not ledger.reserve_room(size, station, most):
        return False
    name, content = f"evidence/{station}/{number:012d}.png", bytes(size)
    path = ledger.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    ledger.release_room(size)
    body = {"number": number, "file": name, "sha256": sha256_bytes(content), "bytes": size}
    ledger.append([Entry(Kind.EVIDENCE, body, station=station, file=name, file_bytes=size)])
    return True


def held(folder: Path, station: str) -> dict[int, int]:
    """Frames on the disk: number and size."""
    return {int(path.stem): path.stat().st_size for path in (folder / "evidence" / station).glob("*")}


def test_a_ring_keeps_its_newest_and_touches_no_other_station(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    for number in range(1, 201):
        station = "ab"[number % 2]
        assert keep(ledger, station, number, 1000 + number, 30_000 if station == "a" else None)
        assert sum(held(tmp_path, "a").values()) <= 30_000
    assert len(held(tmp_path, "b")) == 100
    mine = sorted(held(tmp_path, "a"))
    assert mine == list(range(mine[0], 201, 2))  # the newest, without a gap
    assert sum(held(tmp_path, "a").values()) > 27_000
    view = LedgerView.open(tmp_path)
    assert view.verify() is None
    declared = [record.payload.content() for record in view.of_kind(Kind.EVICTED) if record.payload]
    assert {(one["what"], one["station"], one["why"]) for one in declared} == {
        ("evidence", "a", "quota of its station")
    }
    gone = [n for one in declared for first, last in one["numbers"] for n in range(first, last + 1)]
    assert gone == list(range(2, mine[0], 2))
    assert ledger.held[Kind.EVIDENCE] == view.held()["evidence"]
    states = {one.number: one.state for one in list_evidence(view)}
    assert [states[number] for number in (2, 3, 200)] == ["evicted", "kept", "kept"]
    assert len(list_evidence(view, "a")) == 100


def test_the_ring_is_known_again_after_a_start(tmp_path: Path) -> None:
    for turn in range(4):
        ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
        for number in range(10 * turn + 1, 10 * turn + 11):
            assert keep(ledger, "a", number, 1000, 15_000)
        ledger.close()
        assert min(12_000, 9_999 * (turn + 1)) < sum(held(tmp_path, "a").values()) <= 15_000
    assert LedgerView.open(tmp_path).verify() is None


def test_a_frame_that_is_larger_than_the_ring_is_not_kept_and_costs_no_other(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    assert keep(ledger, "a", 1, 1000, 15_000)
    assert not keep(ledger, "a", 2, 15_001, 15_000)
    assert held(tmp_path, "a") == {1: 1000}


def test_an_age_of_its_own_counts_for_one_station_only(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    for number, station in ((1, "a"), (2, "b")):
        keep(ledger, station, number, 1000, None)
    ages = Ages(FOR_EVER.payloads, FOR_EVER.headers, {"a": 3600.0})
    ledger.keep_house(4000, ages, delivered=False, numbers_from=0)
    keep(ledger, "a", 3, 1000, None)
    ledger.keep_house(3600, ages, delivered=False, numbers_from=0)
    assert (set(held(tmp_path, "a")), set(held(tmp_path, "b"))) == ({3}, {2})
    view = LedgerView.open(tmp_path)
    assert view.verify() is None
    assert [one.why for one in list_evidence(view) if one.state == "evicted"] == ["age of its station"]


def test_the_boxs_own_quota_and_a_trim_leave_the_ring_right(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), 3 << 20)
    for number in range(1, 60):
        assert keep(ledger, "ab"[number % 2], number, 50_000, 2_000_000)
    for station in "ab":
        assert ledger._room.frames(station) == sum(held(tmp_path, station).values())
    ledger.keep_house(3600, FOR_EVER, delivered=False, numbers_from=100)
    keep(ledger, "a", 200, 1000, None)
    ledger.keep_house(7200, Ages(FOR_EVER.payloads, 7200), delivered=False, numbers_from=100)
    assert set(held(tmp_path, "a")) == {200}
    assert (ledger._room.frames("a"), ledger._room.frames("b")) == (1000, 0)
    assert LedgerView.open(tmp_path).verify() is None


def test_an_eviction_of_one_station_does_not_excuse_what_is_missing_of_another(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock(), QUOTA)
    for number in range(1, 41):
        keep(ledger, "ab"[number % 2], number, 1000, 5_000 if number % 2 == 0 else None)
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        (position,) = connection.execute(
            "SELECT min(position) FROM header WHERE kind = 'evidence' AND station = 'b'"
        ).fetchone()
        connection.execute("DELETE FROM payload WHERE position = ?", (position,))
    fault = LedgerView.open(tmp_path).verify()
    assert fault is not None
    assert "no eviction was declared" in fault.what


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(1, 30), st.integers(0, 5)), max_size=6))
def test_what_is_declared_is_covered_for_its_station_alone(spans: list[tuple[str, int, int]]) -> None:
    declared = Declared()
    for station, first, more in spans:
        told = {"what": "evidence", "first": first, "last": first + more}
        body = {**told, "station": station} if station else told
        declared.add(record(99, Kind.EVICTED, "", json.dumps(body).encode()))
    for position in range(1, 40):
        for station in "ab":
            meant = any(s in ("", station) and f <= position <= f + m for s, f, m in spans)
            assert declared.covers(record(position, Kind.EVIDENCE, station)) == meant
            assert not declared.covers(record(position, Kind.VERDICT, station))


def record(position: int, kind: Kind, station: str, body: bytes = b"{}") -> Record:
    return Record(Header(position, 0, kind, station, "", 0, "", 0, ""), "", Payload(b"", body))


def test_a_real_agent_keeps_to_the_ring_and_its_parts_are_listed(box: Box, edgemill_command: Command) -> None:
    box.add_pictures()
    box.settings["stations"][0]["evidence"] = {"keep": ["25%"], "max_bytes": "64KiB", "max_age": "7d"}
    box.run()
    kept = held(box.state, "cell")
    assert 50_000 < sum(kept.values()) <= 64 << 10
    done = edgemill_command("ledger", "evidence", box.state, "--json", "--last", "0")
    found = json.loads(done.stdout)
    assert found["parts"] == len(found["evidence"]) > len(kept)
    assert {one["number"] for one in found["evidence"] if one["state"] == "kept"} == set(kept)
    assert {one["state"] for one in found["evidence"]} == {"kept", "evicted"}
    assert {one["decision"] for one in found["evidence"]} == {"pass", "reject"}
    assert all(one["file"] == f"evidence/cell/{one['number']:012d}.png" for one in found["evidence"] if one["file"])
    said = edgemill_command("ledger", "evidence", box.state, "--last", "3", "--station", "cell").stdout
    assert len(said.splitlines()) == 5
    assert f"--evidence {max(kept)}" in said


@pytest.mark.parametrize("own", [{"max_age": "31d"}, {"max_bytes": "5GiB"}, {"max_bytes": 10}])
def test_a_ring_beyond_what_the_box_keeps_is_refused(box: Box, own: dict[str, object]) -> None:
    box.settings["stations"][0]["evidence"] = {"keep": ["100%"], **own}
    with pytest.raises(SettingsError, match="max_"):
        read_settings(box.write())
