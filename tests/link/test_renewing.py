"""A certificate is renewed before it expires, or after; and only by who has its key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from ssl import create_default_context

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cuts import killed_before
from door import Door, made, open_door, utc
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_core.errors import IdentityError, LinkError
from edgemill_link.enrolling import enrol, renew, renew_if_due
from edgemill_link.enrolment import RENEW, renewal_statement
from edgemill_link.identity import Identity, read_identity, renewal_due, replace_certificate, write_identity

BEGINS = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with open_door(tmp_path / "fleet") as found:
        yield found


@pytest.fixture
def identity(door: Door, tmp_path: Path) -> Identity:
    return enrol(door.code(), "line3", tmp_path / "state")


def nothing_told(text: str) -> None:
    raise AssertionError(text)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 10**6), st.integers(-(10**6), 10**6))
def test_it_is_time_after_two_thirds_and_stays_so(life_s: int, after_s: int) -> None:
    ends = BEGINS + timedelta(seconds=3 * life_s)
    due = renewal_due(BEGINS, ends, BEGINS + timedelta(seconds=after_s))
    assert due == (after_s >= 2 * life_s)


def test_before_its_time_nobody_is_asked(door: Door, identity: Identity) -> None:
    assert renew_if_due(identity, utc(days=50), nothing_told) == identity
    assert [path for path, _ in door.posted if path == RENEW] == []


def test_in_its_last_third_another_key_and_certificate_take_its_place(door: Door, identity: Identity) -> None:
    before = identity.own.read_text()
    told: list[str] = []
    now = renew_if_due(identity, utc(days=61), told.append)
    assert now == read_identity(identity.folder.parent)
    assert now.fleet.broker == "mqtts://127.0.0.1:8884"
    assert told == ["renewing this box's certificate"]
    key, certificate = now.own.read_text().split("-----BEGIN CERT")
    assert key not in before
    assert certificate not in before
    assert now.own.stat().st_mode & 0o777 == 0o600


def test_the_key_of_before_signs_for_both_texts_as_they_were_sent(door: Door, identity: Identity) -> None:
    key = identity.certificate().public_key()
    assert isinstance(key, EllipticCurvePublicKey)
    renew(identity)
    said = door.posted[-1][1]
    statement = renewal_statement(said["certificate"], said["csr"])
    key.verify(bytes.fromhex(said["proof"]), statement, ECDSA(SHA256()))


def test_after_ninety_days_off_it_renews_all_the_same(door: Door, tmp_path: Path) -> None:
    door.since, door.holds = utc(days=-180), timedelta(days=90)
    identity = enrol(door.code(), "line3", tmp_path / "off")
    assert identity.certificate().not_valid_after_utc < utc()
    now = renew_if_due(identity, utc(), lambda _: None)
    assert now.certificate().not_valid_after_utc > utc()


@pytest.mark.parametrize("status", [403, 503])
def test_while_the_one_that_is_there_holds_a_failure_is_only_told(door: Door, identity: Identity, status: int) -> None:
    door.instead[RENEW] = lambda _: (status, b'{"what": "not now"}')
    told: list[str] = []
    assert renew_if_due(identity, utc(days=80), told.append) == identity
    assert "not now" in told[-1]
    with pytest.raises(IdentityError if status == 403 else LinkError, match="not now"):
        renew_if_due(identity, utc(days=91), told.append)


def test_what_does_not_fit_is_not_kept(door: Door, identity: Identity, tmp_path: Path) -> None:
    before = identity.own.read_bytes()
    with open_door(tmp_path / "other") as other:
        wrong = {
            "another device": lambda said: door.renewed(said, "line4"),
            "the key of before": lambda said: {**door.renewed(said, "line3"), "certificate": said["certificate"]},
            "no CA": lambda said: {**door.renewed(said, "line3"), "ca": "-----BEGIN CERTIFICATE-----\nAA"},
        }
        for answer in wrong.values():
            door.instead[RENEW] = lambda said, answer=answer: (200, json.dumps(answer(said)).encode())  # type: ignore[misc]
            with pytest.raises(IdentityError):
                renew(identity)
            assert identity.own.read_bytes() == before
        elsewhere = Identity(identity.folder, identity.fleet.model_copy(update={"url": other.url}))
        with pytest.raises(IdentityError, match="is not the fleet"):
            renew(elsewhere)
        assert other.posted == []


def test_a_power_cut_leaves_a_key_with_its_certificate(tmp_path: Path) -> None:
    identity = write_identity(tmp_path, "https://fleet", *made(tmp_path, "line3"))
    key, given = made(tmp_path / "next", "line3")
    replace = partial(replace_certificate, identity, key, given.certificate, given.ca, given.broker)
    seen, number = set(), 0
    while killed_before(number, replace):
        create_default_context().load_cert_chain(identity.own)
        seen.add(identity.own.read_text())
        number += 3
    assert number > 8
    assert identity.own.read_text() == key + given.certificate
    assert len(seen) == 2
