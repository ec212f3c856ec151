"""Real TLS: who is at the other end; and requests that are too long, too slow or too many."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from fleet_folder import BoxKey, Fleet, make_fleet
from fleet_server import serving, trusting
from hypothesis import given
from hypothesis import strategies as st

from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.web import peer
from edgemill_fleet.web.limits import Buckets, Limits, Rate
from edgemill_link.enrolment import MOST_BYTES, read_code

PATH = "/releases/metadata/timestamp.json"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    made = make_fleet(tmp_path_factory.mktemp("place") / "fleet", Limits(failures=Rate(1000, 1000)))
    made.clock.now = datetime.now(timezone.utc)
    return made


@pytest.fixture(scope="module")
def url(fleet: Fleet) -> Iterator[str]:
    with serving(fleet) as url:
        yield url


def identity(fleet: Fleet, folder: Path, device: str, authority: Authority | None = None) -> Path:
    """One file with key and certificate; of another CA, or of the fleet's."""
    key = BoxKey()
    if authority is not None:
        pem = authority.client(device, key.key.public_key(), fleet.clock.now, timedelta(days=1)).pem
    else:
        code = fleet.done("operator", "POST", "/v1/enrolments", {"device": device})["code"]
        body = {"secret": read_code(code).secret, "device": device, "csr": key.csr()}
        pem = fleet.done("", "POST", "/v1/enrol", body)["certificate"]
    private = key.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{device}.pem"
    file.write_bytes(private + pem.encode())
    return file


def ask(fleet: Fleet, url: str, shown: Path | None, path: str = PATH) -> int:
    context = trusting(fleet)
    if shown is not None:
        context.load_cert_chain(shown)
    place = urlsplit(url)
    connection = http.client.HTTPSConnection(str(place.hostname), place.port, timeout=10, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_box_is_known_by_its_certificate(fleet: Fleet, url: str, tmp_path: Path) -> None:
    box = identity(fleet, tmp_path, "line3")
    assert ask(fleet, url, box) == 200
    assert ask(fleet, url, box, "/releases/plans/line3.json") == 404
    assert ask(fleet, url, box, "/releases/plans/line4.json") == 403
    assert ask(fleet, url, None) == 401
    assert ask(fleet, url, None, "/health") == 200
    fleet.done("admin", "POST", "/v1/devices/line3/revoke")
    assert ask(fleet, url, box) == 403


def test_a_certificate_of_somebody_else_or_of_yesterday(fleet: Fleet, url: str, tmp_path: Path) -> None:
    other = Authority.create(tmp_path, "plant-a", fleet.clock.now)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        ask(fleet, url, identity(fleet, tmp_path, "line5", other))
    fleet.clock.now -= timedelta(days=2)
    old = identity(fleet, tmp_path, "line6", fleet.manager.authority)
    fleet.clock.now += timedelta(days=2)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        ask(fleet, url, old)


def test_a_box_cannot_pass_for_the_server(fleet: Fleet, tmp_path: Path) -> None:
    box = identity(fleet, tmp_path, "line7")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(box)
    client = trusting(fleet)
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(client, context)


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    a, b, c, d = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = client.wrap_bio(a, b), server.wrap_bio(c, d, server_side=True)
    for end in (ours, theirs) * 3:
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
        a.write(d.read())
        c.write(b.read())


def test_whoever_says_no_whole_request_is_left(fleet: Fleet, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "HEAD_S", 0.3)
    whole = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    for before, part in ((b"", b""), (b"", b"GET /health HTTP/1.1\r\nHost:"), (whole, b"GET /he")):
        with connected(fleet, url) as connection:
            if before:
                assert_answered(connection, before)
            begun = time.monotonic()
            connection.sendall(part)
            while connection.recv(4096):
                pass
        assert 0.2 < time.monotonic() - begun < 4
    with connected(fleet, url) as connection:  # who speaks is heard, also after that time
        for _ in range(3):
            assert_answered(connection, whole)
            time.sleep(0.2)


def test_whoever_takes_his_time_with_a_body_is_heard(fleet: Fleet, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "HEAD_S", 0.3)
    with connected(fleet, url) as connection:
        connection.sendall(b"POST /v1/renew HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        time.sleep(0.6)
        connection.sendall(b"}")
        assert connection.recv(4096).startswith(b"HTTP/1.1 422")


def test_a_head_that_is_too_long(fleet: Fleet, url: str) -> None:
    with connected(fleet, url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX: " + b"x" * 40_000)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


def assert_answered(connection: ssl.SSLSocket, request: bytes) -> None:
    connection.sendall(request)
    answer = b""
    while not answer.endswith(b"}"):
        piece = connection.recv(4096)
        assert piece, answer
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200")


def connected(fleet: Fleet, url: str) -> ssl.SSLSocket:
    place = urlsplit(url)
    plain = socket.create_connection((str(place.hostname), place.port or 0), timeout=10)
    return trusting(fleet).wrap_socket(plain, server_hostname="127.0.0.1")


# --- limits ---


def test_a_body_that_is_too_long(fleet: Fleet) -> None:
    fleet.refused(413, "", "POST", "/v1/enrol", b"x" * (MOST_BYTES + 1))
    assert fleet.ask("", "POST", "/v1/enrol", b"", **{"content-length": "9" * 30}).status == 413
    fleet.refused(422, "", "POST", "/v1/enrol", b'"' + b"x" * (MOST_BYTES - 2) + b'"')


def test_a_body_that_does_not_say_how_long_it_is(fleet: Fleet, url: str) -> None:
    with connected(fleet, url) as connection:
        connection.sendall(b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(MOST_BYTES // 8000 + 1):
            connection.sendall(b"1f40\r\n" + b"x" * 8000 + b"\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_end(url: str, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet", Limits(body_s=0.2))
    fleet.clock.now = datetime.now(timezone.utc)
    with serving(fleet) as url, connected(fleet, url) as connection:
        connection.sendall(b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")


def test_who_guesses_is_slowed_down(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet", Limits(failures=Rate(3, 1e-6)))
    for _ in range(3):
        fleet.refused(401, "emf_guess", "GET", "/v1/me")
    told = fleet.refused(429, "viewer", "GET", "/v1/me")
    assert "nobody is known by" in told["what"]
    assert fleet.ask("", "GET", "/health").status == 200
    assert fleet.ask("viewer", "GET", PATH).status == 200


def test_who_asks_too_often(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet", Limits(requests=Rate(2, 1e-6)))
    assert [fleet.ask("viewer", "GET", "/v1/me").status for _ in range(4)] == [200, 200, 429, 429]
    assert fleet.ask("viewer", "GET", "/v1/me").headers["retry-after"] == "5"


@given(
    rate=st.builds(Rate, st.floats(1, 20), st.floats(0.1, 10)),
    waits=st.lists(st.floats(0, 3), max_size=60),
)
def test_no_more_than_the_rate_lets_through(rate: Rate, waits: list[float]) -> None:
    buckets, now_s, let = Buckets(rate), 0.0, 0
    for wait in waits:
        now_s += wait
        let += buckets.take("a", now_s)
        assert let <= rate.burst + rate.per_s * now_s + 1e-6
    assert buckets.left("b", now_s) == rate.burst


def test_addresses_do_not_fill_the_memory() -> None:
    buckets = Buckets(Rate(2, 0), most=10)
    for number in range(100):
        buckets.take(str(number), 0.0)
    assert len(buckets) == 10
    assert (buckets.left("99", 0.0), buckets.left("0", 0.0)) == (1, 2)
