"""A box is let in: by the fleet that made its code and by no other, once, and whole."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_pem_x509_certificate
from cuts import calls_of, killed_before
from door import Answer, Door, authority, made, open_door, serving_as

from edgemill_core.errors import IdentityError, LinkError
from edgemill_fleet.identity.certificates import new_key
from edgemill_link.enrolling import check_certificate, enrol
from edgemill_link.enrolment import AUTHORITY, ENROL, Code
from edgemill_link.identity import Identity, make_key, read_identity, request_text, write_identity


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with open_door(tmp_path / "fleet") as found:
        yield found


def test_a_box_is_let_in_with_a_key_that_nobody_else_sees(door: Door, tmp_path: Path) -> None:
    code, state = door.code(), tmp_path / "state"
    identity = enrol(code, "line3", state)
    assert read_identity(state) == identity
    assert (identity.fleet.device, identity.fleet.url) == ("line3", door.url)
    assert identity.fleet.broker == door.broker
    assert [path for path, _ in door.posted] == [ENROL]
    said = json.dumps(door.posted)
    assert code.secret in said
    assert "PRIVATE KEY" not in said
    assert identity.own.stat().st_mode & 0o777 == 0o600
    assert identity.folder.stat().st_mode & 0o777 == 0o700
    assert identity.ca.read_text() == door.ca.pem
    assert identity.root.read_text() == "{}"
    ssl.create_default_context().load_cert_chain(identity.own)  # key and certificate belong together
    assert sorted(path.name for path in state.iterdir()) == ["identity"]


def test_a_box_that_is_in_already_is_not_let_in_by_mistake(door: Door, tmp_path: Path) -> None:
    first = enrol(door.code(), "line3", tmp_path).certificate_pem()
    with pytest.raises(IdentityError, match="let in already"):
        enrol(door.code(), "line3", tmp_path)
    assert enrol(door.code(), "line3", tmp_path, again=True).certificate_pem() != first


def test_a_server_with_another_ca_gets_nothing(door: Door, tmp_path: Path) -> None:
    code = Code(door.url, "00" * 16, authority(tmp_path / "other").fingerprint)
    with pytest.raises(IdentityError, match="nothing was sent"):
        enrol(code, "line3", tmp_path)
    assert door.posted == []


def test_a_server_that_only_knows_the_certificate_of_the_ca_gets_nothing(tmp_path: Path) -> None:
    stranger = authority(tmp_path / "stranger", "stranger")
    with open_door(tmp_path / "fleet", shows=stranger) as door:
        with pytest.raises(IdentityError, match="is not the fleet"):
            enrol(door.code(), "line3", tmp_path)
        assert door.posted == []


def test_a_server_of_the_fleet_under_another_name_gets_nothing(tmp_path: Path) -> None:
    with open_door(tmp_path / "fleet", names=("fleet.plant-b",)) as door:
        with pytest.raises(IdentityError, match="under this name"):
            enrol(door.code(), "line3", tmp_path)
        assert door.posted == []


def test_a_box_that_was_let_in_cannot_pass_for_the_fleet(door: Door, tmp_path: Path) -> None:
    """Its certificate is of the same CA, but not for servers."""
    own = enrol(door.code(), "line3", tmp_path / "box").own
    door.posted.clear()
    with serving_as(door, own) as url, pytest.raises(IdentityError, match="is not the fleet"):
        enrol(Code(url, "00" * 16, door.ca.fingerprint), "line4", tmp_path / "victim")
    assert door.posted == []


def test_among_several_certificates_the_one_that_the_code_names_is_taken(door: Door, tmp_path: Path) -> None:
    door.tells = "-----END CERTIFICATE-----\n" + authority(tmp_path / "other").pem + door.ca.pem
    assert enrol(door.code(), "line3", tmp_path).fleet.device == "line3"


def test_an_answer_that_was_lost_is_asked_for_with_the_same_key(door: Door, tmp_path: Path) -> None:
    code = door.code()
    door.instead[ENROL] = lambda _: (502, b"<html>")
    with pytest.raises(LinkError):
        enrol(code, "line3", tmp_path)
    assert (tmp_path / ".identity.pending").stat().st_mode & 0o777 == 0o600
    del door.instead[ENROL]
    enrol(code, "line3", tmp_path)
    first, second = (said["csr"] for _, said in door.posted)
    assert first == second
    enrol(code, "line3", tmp_path, again=True)  # what was kept for it is gone
    assert door.posted[2][1]["csr"] != first


def test_another_code_gets_another_key(door: Door, tmp_path: Path) -> None:
    door.instead[ENROL] = lambda _: (502, b"")
    for _ in range(2):
        with pytest.raises(LinkError):
            enrol(door.code(), "line3", tmp_path)
    assert door.posted[0][1]["csr"] != door.posted[1][1]["csr"]


def changed(door: Door, **changes: Any) -> Callable[[dict[str, str]], Answer]:
    return lambda said: (200, json.dumps({**door.enrolled(said), **changes}).encode())


def test_what_does_not_fit_is_not_kept(door: Door, tmp_path: Path) -> None:
    other = authority(tmp_path / "other")
    mine = request_text(make_key(), "line3")
    wrong: list[tuple[type[Exception], Callable[[dict[str, str]], Answer]]] = [
        (IdentityError, changed(door, device="line4")),
        (IdentityError, lambda said: changed(door, device="line3")({**said, "device": "line4"})),
        (IdentityError, lambda said: changed(door)({**said, "csr": mine})),
        (IdentityError, changed(door, ca=other.pem)),
        (IdentityError, changed(door, certificate="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        (LinkError, changed(door, certificate="none")),
        (LinkError, changed(door, broker="https://elsewhere")),
        (LinkError, changed(door, device="../line3")),
        (LinkError, lambda _: (200, b"<html>")),
        (LinkError, lambda _: (200, b"x" * 200_000)),
        (LinkError, lambda _: (503, b"{}")),
        (IdentityError, lambda _: (404, b"[]")),
    ]
    for kind, answer in wrong:
        door.instead[ENROL] = answer
        with pytest.raises(kind):
            enrol(door.code(), "line3", tmp_path / "state")
        assert read_identity(tmp_path / "state") is None


def test_the_fleets_own_words_arrive_without_what_moves_a_terminal(door: Door, tmp_path: Path) -> None:
    told = {"what": "the code\x1b[2J lets nobody in", "expected": "one", "got": "used", "fix": "make another"}
    door.instead[ENROL] = lambda _: (409, json.dumps(told).encode())
    with pytest.raises(IdentityError) as refused:
        enrol(door.code(), "line3", tmp_path)
    said = refused.value
    assert (said.what, said.got, said.fix) == ("the code [2J lets nobody in", "used", "make another")


def test_a_door_that_nobody_answers_at_is_said(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="cannot be reached"):
        enrol(Code("https://127.0.0.1:9", "00" * 16, "ab" * 32), "line3", tmp_path)


def test_a_ca_without_end_is_not_read_to_its_end(door: Door, tmp_path: Path) -> None:
    door.instead[AUTHORITY] = lambda _: (200, b"x" * 3_000_000)
    with pytest.raises(LinkError, match="cannot be reached"):
        enrol(door.code(), "line3", tmp_path)


def whole(identity: Identity | None) -> str:
    """Whose it is, all of it."""
    assert identity is not None
    key = identity.own.read_text().partition("-----BEGIN CERT")[0]
    check_certificate("", identity.certificate_pem(), key, identity.fleet.device)
    identity.certificate().verify_directly_issued_by(load_pem_x509_certificate(identity.ca.read_bytes()))
    return identity.fleet.device


STEP = 1 if os.environ.get("EDGEMILL_EVERY_CUT") else 5


def test_a_power_cut_leaves_the_identity_of_before_or_the_next_one(tmp_path: Path) -> None:
    first, second = made(tmp_path, "line3"), made(tmp_path, "line4")
    seen, number, killed = set(), 0, True
    while killed:
        state = tmp_path / f"state{number}"
        write_identity(state, "https://fleet", *first)
        killed = killed_before(number, partial(write_identity, state, "https://fleet", *second))
        seen.add(whole(read_identity(state)))
        write_identity(state, "https://fleet", *second)
        assert whole(read_identity(state)) == "line4"
        assert [path.name for path in state.iterdir()] == ["identity"]
        number += STEP
    assert number > 15
    assert seen == {"line3", "line4"}


def test_between_the_two_renames_a_box_is_what_it_was_before(tmp_path: Path) -> None:
    first, second = made(tmp_path, "line3"), made(tmp_path, "line4")
    for name in "ab":
        write_identity(tmp_path / name, "", *first)
    calls = [call[0] for call in calls_of(partial(write_identity, tmp_path / "a", "", *second))]
    assert calls.count("rename") == 2
    last = max(number for number, call in enumerate(calls) if call == "rename")
    assert killed_before(last, partial(write_identity, tmp_path / "b", "", *second))
    assert not (tmp_path / "b" / "identity").exists()
    assert whole(read_identity(tmp_path / "b")) == "line3"


def test_a_damaged_identity_is_said_and_never_taken_for_none(tmp_path: Path) -> None:
    identity = write_identity(tmp_path, "https://fleet", *made(tmp_path, "line3"))
    (identity.folder / "fleet.json").write_text("{")
    with pytest.raises(IdentityError, match="damaged"):
        read_identity(tmp_path)


def test_a_box_key_is_of_the_kind_that_the_fleet_takes() -> None:
    assert make_key().curve.name == new_key().curve.name
