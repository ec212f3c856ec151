"""Boxes get in by a code, once; their certificates are renewed, expire and are revoked."""

from __future__ import annotations

import base64
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from fleet_folder import BoxKey, Fleet, make_fleet

from edgemill_fleet.identity.certificates import common_name, pem_of
from edgemill_fleet.identity.server_files import REVOKED, refresh_certificates
from edgemill_fleet.store.tables import Enrolment, Token
from edgemill_link.enrolment import read_code, renewal_statement


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path / "fleet", broker="mqtts://broker:8883")


def code_for(fleet: Fleet, device: str = "line3", **more: Any) -> str:
    made = fleet.done("operator", "POST", "/v1/enrolments", {"device": device, **more})
    return read_code(made["code"]).secret


def asked(secret: str, key: BoxKey, device: str = "line3") -> dict[str, str]:
    return {"secret": secret, "device": device, "csr": key.csr()}


def enrolled(fleet: Fleet, key: BoxKey, device: str = "line3", **more: Any) -> str:
    said = fleet.done("", "POST", "/v1/enrol", asked(code_for(fleet, device, **more), key, device))
    return str(said["certificate"])


def renewal(certificate: str, key: BoxKey, fresh: BoxKey) -> dict[str, str]:
    csr = fresh.csr()
    return {"certificate": certificate, "csr": csr, "proof": key.proof(renewal_statement(certificate, csr))}


def may_read(fleet: Fleet, certificate: str) -> int:
    return fleet.ask(f"box:{certificate}", "GET", "/releases/metadata/timestamp.json").status


def test_a_box_is_let_in(fleet: Fleet) -> None:
    key = BoxKey()
    code = fleet.done("operator", "POST", "/v1/enrolments", {"device": "line3", "group": "soldering", "tags": ["new"]})
    told = read_code(code["code"])
    assert told.url == fleet.manager.folder.settings.url
    ca = x509.load_pem_x509_certificate(fleet.ask("", "GET", "/v1/authority").said.encode())
    assert told.ca == fleet.manager.authority.fingerprint
    said = fleet.done("", "POST", "/v1/enrol", asked(told.secret, key))
    assert (said["device"], said["broker"]) == ("line3", "mqtts://broker:8883")
    assert said["root"].encode() == (fleet.manager.folder.releases / "metadata" / "1.root.json").read_bytes()
    certificate = x509.load_pem_x509_certificate(said["certificate"].encode())
    certificate.verify_directly_issued_by(ca)
    assert common_name(certificate.subject) == "line3"
    assert certificate.public_key() == key.key.public_key()
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    device = fleet.done("viewer", "GET", "/v1/devices/line3")
    assert (device["group"], device["tags"], device["standing"]) == ("soldering", ["new"], "enrolled")
    assert device["certificate_until_s"] == (fleet.clock.now + timedelta(days=90)).timestamp()


def test_neither_code_nor_token_is_kept(fleet: Fleet) -> None:
    secret = code_for(fleet)
    with fleet.manager.database.reading() as session:
        rows = [*session.query(Enrolment), *session.query(Token)]
        kept = str([row.__dict__ for row in rows])
    assert secret not in kept
    assert not any(token in kept for token in fleet.tokens.values())


def test_a_code_lets_one_box_in(fleet: Fleet) -> None:
    secret, key = code_for(fleet), BoxKey()
    first = fleet.done("", "POST", "/v1/enrol", asked(secret, key))
    assert fleet.done("", "POST", "/v1/enrol", asked(secret, key)) == first  # the answer was lost
    told = fleet.refused(409, "", "POST", "/v1/enrol", asked(secret, BoxKey()))
    assert "another key" in told["got"]
    assert may_read(fleet, first["certificate"]) == 200


def test_of_many_at_once_one_is_let_in(fleet: Fleet) -> None:
    secret, answers = code_for(fleet), []
    bodies = [asked(secret, BoxKey()) for _ in range(8)]
    threads = [
        threading.Thread(target=lambda body=body: answers.append(fleet.ask("", "POST", "/v1/enrol", body).status))
        for body in bodies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [409] * 7


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (401, {"secret": "0" * 32}),
        (409, {"device": "line4"}),
        (400, {"csr": BoxKey(ec.SECP384R1()).csr()}),
        (400, {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"}),
        (422, {"secret": "abc"}),
        (422, {"device": "../line3"}),
        (422, {"more": 1}),
    ],
)
def test_what_lets_nobody_in_uses_no_code_up(fleet: Fleet, status: int, changes: dict[str, Any]) -> None:
    body = asked(code_for(fleet), BoxKey())
    fleet.refused(status, "", "POST", "/v1/enrol", {**body, **changes})
    assert fleet.done("viewer", "GET", "/v1/devices") == []
    fleet.done("", "POST", "/v1/enrol", body)


def test_a_csr_that_its_key_did_not_sign(fleet: Fleet) -> None:
    body = asked(code_for(fleet), BoxKey())
    request = x509.load_pem_x509_csr(body["csr"].encode()).public_bytes(serialization.Encoding.DER)
    altered = base64.encodebytes(request[:-1] + bytes([request[-1] ^ 1])).decode()
    csr = f"-----BEGIN CERTIFICATE REQUEST-----\n{altered}-----END CERTIFICATE REQUEST-----\n"
    assert "does not fit" in fleet.refused(400, "", "POST", "/v1/enrol", {**body, "csr": csr})["got"]


def test_of_a_version_that_nobody_knows(fleet: Fleet) -> None:
    """Well-formed besides: the library tells of it by an exception of its own."""
    key = BoxKey()
    certificate = enrolled(fleet, key)
    body = asked(code_for(fleet), key) | {"csr": other_version(key.csr(), b"\x02\x01\x00")}
    assert fleet.refused(400, "", "POST", "/v1/enrol", body)["what"] == "this is no request for a certificate"
    odd = renewal(other_version(certificate, b"\x02\x01\x02"), key, key)
    assert fleet.refused(400, "", "POST", "/v1/renew", odd)["what"] == "this is no certificate"


def other_version(pem: str, number: bytes) -> str:
    first, *lines, last = pem.strip().splitlines()
    der = base64.b64decode("".join(lines)).replace(number, number[:-1] + b"\x09", 1)
    return "\n".join([first, base64.b64encode(der).decode(), last])


def test_a_code_is_for_one_device(fleet: Fleet) -> None:
    enrolled(fleet, BoxKey(), "line4")
    told = fleet.refused(409, "", "POST", "/v1/enrol", asked(code_for(fleet), BoxKey(), "line4"))
    assert "another device" in told["got"]


def test_a_code_expires_and_can_be_ended(fleet: Fleet) -> None:
    old = code_for(fleet, hours=2)
    fleet.clock.pass_by(hours=2)
    assert "expired" in fleet.refused(409, "", "POST", "/v1/enrol", asked(old, BoxKey()))["got"]
    fresh = code_for(fleet)
    newest = fleet.done("operator", "GET", "/v1/enrolments")[0]
    fleet.done("operator", "DELETE", f"/v1/enrolments/{newest['id']}")
    assert "expired" in fleet.refused(409, "", "POST", "/v1/enrol", asked(fresh, BoxKey()))["got"]
    fleet.refused(404, "operator", "DELETE", f"/v1/enrolments/{'0' * 16}")


def test_a_box_with_a_new_key_takes_the_place_of_the_old_one(fleet: Fleet) -> None:
    before = enrolled(fleet, BoxKey(), group="soldering")
    after = enrolled(fleet, BoxKey())
    assert (may_read(fleet, before), may_read(fleet, after)) == (403, 200)
    assert fleet.done("viewer", "GET", "/v1/devices/line3")["group"] == "soldering"
    assert serials(fleet) == {serial(before)}


def test_a_certificate_is_renewed(fleet: Fleet) -> None:
    key, fresh = BoxKey(), BoxKey()
    first = enrolled(fleet, key)
    fleet.clock.pass_by(days=60)
    body = renewal(first, key, fresh)
    second = fleet.done("", "POST", "/v1/renew", body)["certificate"]
    assert x509.load_pem_x509_certificate(second.encode()).public_key() == fresh.key.public_key()
    assert fleet.done("", "POST", "/v1/renew", body)["certificate"] == second
    fleet.clock.pass_by(days=31)
    assert (may_read(fleet, first), may_read(fleet, second)) == (403, 200)


def test_a_way_back_after_ninety_days_and_more(fleet: Fleet) -> None:
    key = BoxKey()
    first = enrolled(fleet, key)
    fleet.clock.pass_by(days=90 + 365)
    back = fleet.done("", "POST", "/v1/renew", renewal(first, key, key))["certificate"]
    assert may_read(fleet, back) == 200
    fleet.clock.pass_by(days=1)
    fleet.refused(409, "", "POST", "/v1/renew", renewal(first, key, BoxKey()))


def test_a_box_that_asks_without_end_is_slowed_down(fleet: Fleet) -> None:
    key = BoxKey()
    certificate = enrolled(fleet, key)
    for _ in range(19):
        fleet.done("", "POST", "/v1/renew", renewal(certificate, key, BoxKey()))
    fleet.refused(429, "", "POST", "/v1/renew", renewal(certificate, key, BoxKey()))
    fleet.done("", "POST", "/v1/renew", renewal(enrolled(fleet, key, "line4"), key, BoxKey()))
    fleet.clock.pass_by(hours=1.1)
    fleet.done("", "POST", "/v1/renew", renewal(certificate, key, BoxKey()))


def test_whoever_has_not_the_key_renews_nothing(fleet: Fleet) -> None:
    key, other = BoxKey(), BoxKey()
    certificate = enrolled(fleet, key)
    fleet.refused(401, "", "POST", "/v1/renew", renewal(certificate, other, other))
    right = renewal(certificate, key, key)
    fleet.refused(401, "", "POST", "/v1/renew", {**right, "csr": other.csr()})
    elsewhere = make_fleet(fleet.manager.folder.path.parent / "elsewhere")
    fleet.refused(401, "", "POST", "/v1/renew", renewal(enrolled(elsewhere, key), key, key))


def test_a_serial_number_alone_renews_nothing(fleet: Fleet) -> None:
    """Somebody signs a certificate with the number of a real one, for a key that he has."""
    real, thief, now = x509.load_pem_x509_certificate(enrolled(fleet, BoxKey()).encode()), BoxKey(), fleet.clock.now
    forged = (
        x509.CertificateBuilder(real.issuer, real.subject, thief.key.public_key(), real.serial_number)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=90))
        .sign(thief.key, hashes.SHA256())
    )
    fleet.refused(401, "", "POST", "/v1/renew", renewal(pem_of(forged), thief, thief))


def test_a_box_that_was_shut_out(fleet: Fleet) -> None:
    key, other = BoxKey(), BoxKey()
    certificate, second = enrolled(fleet, key), enrolled(fleet, other, "line4")
    fleet.done("admin", "POST", "/v1/devices/line3/revoke")
    assert (may_read(fleet, certificate), may_read(fleet, second)) == (403, 200)
    assert serials(fleet) == {serial(certificate)}
    fleet.refused(403, "", "POST", "/v1/renew", renewal(certificate, key, key))
    fleet.clock.pass_by(days=100)
    fleet.refused(403, "", "POST", "/v1/renew", renewal(certificate, key, key))
    assert may_read(fleet, enrolled(fleet, key)) == 200  # let in again on purpose


def test_a_code_from_before_lets_nobody_in_who_was_shut_out(fleet: Fleet) -> None:
    enrolled(fleet, BoxKey())
    left, others = code_for(fleet), code_for(fleet, "line4")
    fleet.done("admin", "POST", "/v1/devices/line3/revoke")
    assert "expired" in fleet.refused(409, "", "POST", "/v1/enrol", asked(left, BoxKey()))["got"]
    fleet.done("", "POST", "/v1/enrol", asked(others, BoxKey(), "line4"))
    enrolled(fleet, BoxKey())  # by one made since


def test_a_certificate_of_the_fleet_itself_is_no_box(fleet: Fleet) -> None:
    folder = fleet.manager.folder
    refresh_certificates(folder.path, fleet.manager.authority, ("fleet",), fleet.clock.now)
    assert may_read(fleet, (folder.keys / "intake.pem").read_text()) == 401


def test_servers_get_a_new_certificate_in_time_and_for_other_names(fleet: Fleet) -> None:
    folder, authority, now = fleet.manager.folder, fleet.manager.authority, fleet.clock.now
    assert refresh_certificates(folder.path, authority, ("fleet", "10.0.0.1"), now)
    assert (folder.keys / "server.key.pem").stat().st_mode & 0o777 == 0o600
    assert not refresh_certificates(folder.path, authority, ("10.0.0.1", "fleet"), now + timedelta(days=59))
    assert refresh_certificates(folder.path, authority, ("10.0.0.1", "fleet"), now + timedelta(days=61))
    assert refresh_certificates(folder.path, authority, ("10.0.0.2", "fleet"), now + timedelta(days=61))
    (folder.keys / "server.key.pem").write_bytes((folder.keys / "intake.key.pem").read_bytes())
    assert refresh_certificates(folder.path, authority, ("10.0.0.2", "fleet"), now + timedelta(days=61))


def serial(certificate: str) -> int:
    return x509.load_pem_x509_certificate(certificate.encode()).serial_number


def serials(fleet: Fleet) -> set[int]:
    told = x509.load_pem_x509_crl((fleet.manager.folder.path / REVOKED).read_bytes())
    assert told.is_signature_valid(fleet.manager.authority.certificate.public_key())  # type: ignore[arg-type]
    return {one.serial_number for one in told}
