"""The eviction policy, ranges and anchors: pure functions."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemill_core.ledger import (
    EVICTED_FIRST,
    GENESIS,
    Account,
    Anchor,
    Declared,
    Header,
    Kind,
    Payload,
    Ranges,
    Record,
    evictions,
)


def record(position: int, kind: Kind, body: bytes | None = b"{}") -> Record:
    payload = None if body is None else Payload(b"salt", body)
    digest = payload.digest if payload else "00"
    return Record(Header(position, position, kind, "s", "", 0, "b", 0, digest), "", payload)


@pytest.mark.parametrize("held", list(product((0, 3, 10), repeat=4)))
@pytest.mark.parametrize("need", [1, 4, 13, 100])
def test_metrics_go_first_then_challengers_then_evidence_then_verdicts(held: tuple[int, ...], need: int) -> None:
    have = dict(zip(EVICTED_FIRST, held, strict=True))
    plan = evictions(have, need)
    assert EVICTED_FIRST == (Kind.METRICS, Kind.SHADOW, Kind.EVIDENCE, Kind.VERDICT)
    assert sum(plan.values()) == min(need, sum(held))
    assert list(plan) == [kind for kind in EVICTED_FIRST if kind in plan]
    for earlier, later in pairwise(EVICTED_FIRST):
        if plan.get(later):
            assert plan.get(earlier, 0) == have[earlier]


def test_what_declares_something_is_never_evicted() -> None:
    assert evictions(dict.fromkeys(Kind, 100), 1000).keys() == set(EVICTED_FIRST)


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=12)


@given(spans)
def test_ranges_of_numbers_are_sets(given_spans: list[tuple[int, int]]) -> None:
    ranges, expected = Ranges(), set()
    for first, length in given_spans:
        ranges.add_range(first, first + length)
        expected |= set(range(first, first + length + 1))
    assert [n for first, last in ranges for n in range(first, last + 1)] == sorted(expected)
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(ranges))


def test_a_missing_payload_is_right_only_where_an_eviction_of_its_kind_was_declared() -> None:
    told = b'{"what":"verdict","first":3,"last":5,"count":2,"bytes":9,"why":"quota"}'
    declared = Declared([record(9, Kind.EVICTED, told), record(10, Kind.START)])
    assert declared.covers(record(3, Kind.VERDICT, None))
    assert declared.covers(record(5, Kind.VERDICT, None))
    assert not declared.covers(record(6, Kind.VERDICT, None))
    assert not declared.covers(record(4, Kind.METRICS, None))
    assert not declared.covers(record(4, Kind.START, None))


def test_an_anchor_adds_up_what_was_trimmed() -> None:
    trimmed = Account()
    trimmed.add(record(1, Kind.VERDICT))
    trimmed.add(record(2, Kind.LOST, b'{"count":4}'))
    anchor = Anchor("l", 0, GENESIS, 0).with_trimmed(trimmed, 2, "aa", 7)
    again = Account()
    again.add(record(3, Kind.VERDICT))
    anchor = anchor.with_trimmed(again, 3, "bb", 8)
    assert (anchor.position, anchor.link, anchor.verdicts, anchor.lost, anchor.stations) == (3, "bb", 2, 4, {"s": 2})
    assert Anchor.from_dict(anchor.as_dict()) == anchor
    assert anchor.signed("ff").statement() == anchor.statement()
    assert Account.of_anchor(anchor).delivered == 2
    assert Account.of_anchor(None).delivered == 0
