"""The chain finds whatever was altered, and the account adds up."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemill_core.ledger import GENESIS, Account, Header, Kind, Payload, Ranges, Record, check_chain


def chain(count: int) -> list[Record]:
    records, link = [], GENESIS
    for position in range(1, count + 1):
        payload = Payload(bytes(16), json.dumps({"part": position}).encode())
        header = Header(position, position + 7, Kind.VERDICT, "s", "pass", 10**18, "b", position, payload.digest)
        link = header.link(link)
        records.append(Record(header, link, payload))
    return records


def other(kind: Kind, body: dict[str, object]) -> Record:
    payload = Payload(bytes(16), json.dumps(body).encode())
    return Record(Header(1, 0, kind, "", "", 0, "b", 0, payload.digest), "", payload)


def test_a_whole_chain_has_no_fault_with_or_without_payloads() -> None:
    records = chain(5)
    assert check_chain(records) is None
    assert check_chain([replace(record, payload=None) for record in records]) is None
    assert check_chain(records[3:], 3, records[2].link) is None
    assert check_chain([]) is None


def test_links_of_years_ago_are_computed_in_the_same_way() -> None:
    header = Header(3, 10, Kind.VERDICT, "Lötseite", "pass", 10**18, "b", 3, "d" * 64)
    written = '["' + "0" * 64 + r'",3,10,"verdict","L\u00f6tseite","pass",1000000000000000000,"b",3,"' + "d" * 64 + '"]'
    assert header.link("0" * 64) == hashlib.sha256(written.encode()).hexdigest()
    assert header.as_row() == (3, 10, "verdict", "Lötseite", "pass", 10**18, "b", 3, "d" * 64)


CHANGES = {
    "position": 9,
    "number": 99,
    "kind": Kind.LOST,
    "station": "t",
    "decision": "reject",
    "utc_ns": 1,
    "boot": "c",
    "monotonic_ns": 77,
    "digest": "0" * 64,
}


@pytest.mark.parametrize("field", CHANGES)
@pytest.mark.parametrize("index", [0, 2, 4])
def test_every_altered_field_is_found_where_it_is(field: str, index: int) -> None:
    records = chain(5)
    altered = replace(records[index].header, **{field: CHANGES[field]})
    records[index] = replace(records[index], header=altered)
    fault = check_chain(records)
    assert fault is not None
    assert fault.position == altered.position


def test_an_altered_header_with_a_new_link_breaks_at_the_next_record() -> None:
    records = chain(5)
    altered = replace(records[2].header, decision="reject")
    records[2] = replace(records[2], header=altered, link=altered.link(records[1].link))
    fault = check_chain(records)
    assert fault is not None
    assert fault.position == 4


@pytest.mark.parametrize("payload", [Payload(bytes(16), b"{}"), Payload(bytes([1] * 16), b'{"part": 3}')])
def test_an_altered_payload_is_found(payload: Payload) -> None:
    records = chain(5)
    records[2] = replace(records[2], payload=payload)
    fault = check_chain(records)
    assert fault is not None
    assert (fault.position, "payload" in fault.what) == (3, True)


@pytest.mark.parametrize("change", ["missing", "doubled", "swapped", "first"])
def test_records_left_out_or_put_in_are_found(change: str) -> None:
    records = chain(5)
    if change == "missing":
        del records[2]
    elif change == "doubled":
        records.insert(2, records[1])
    elif change == "swapped":
        records[1], records[2] = records[2], records[1]
    else:
        del records[0]
    assert check_chain(records) is not None


def test_a_record_survives_its_json() -> None:
    for record in (chain(1)[0], replace(chain(1)[0], payload=None)):
        assert Record.from_dict(json.loads(json.dumps(record.as_dict()))) == record


@given(st.lists(st.integers(1, 60)), st.integers(1, 60), st.integers(1, 60))
def test_ranges_are_a_set(numbers: list[int], first: int, last: int) -> None:
    ranges, seen = Ranges(), set()
    for number in numbers:
        assert ranges.add(number) == (number not in seen)
        seen.add(number)
    assert len(ranges) == len(seen)
    assert all((number in ranges) == (number in seen) for number in range(62))
    pairs = list(ranges)
    assert all(b + 1 < c for (_, b), (c, _) in pairwise(pairs))
    missing = {n for a, b in ranges.missing(first, last) for n in range(a, b + 1)}
    assert missing == set(range(first, last + 1)) - seen


def test_the_account_counts_each_number_once_and_takes_what_was_declared() -> None:
    account = Account()
    records = chain(3)
    for record in (*records, records[1]):
        account.add(record)
    account.add(other(Kind.LOST, {"count": 4, "ranges": [[1, 4]]}))
    account.add(other(Kind.VOID, {"ranges": [[5, 6], [8, 8]]}))
    account.add(other(Kind.START, {"bundle": "b"}))
    assert account.as_dict() == {
        "delivered": 3,
        "doubled": 1,
        "declared_lost": 4,
        "void_numbers": 3,
        "stations": {"s": 4},
    }
