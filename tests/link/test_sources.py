"""What is read from a server or a stick: no more than asked for, from where it was asked for, and nothing behind it."""

from __future__ import annotations

import errno
import gzip
import http.server
import os
from pathlib import Path

import pytest
from static_server import answering

from edgemill_core.errors import LinkError
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import FolderSource, HttpSource

CONTENT = bytes(range(256)) * 1000


def give(request: http.server.BaseHTTPRequestHandler, content: bytes, status: int = 200, **headers: str) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(content)


@pytest.mark.parametrize("ranges", [True, False])
def test_it_goes_on_from_where_it_was_asked_to(ranges: bool) -> None:
    asked: list[str | None] = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.headers["Range"])
        start = int(str(asked[-1]).removeprefix("bytes=").rstrip("-")) if ranges and asked[-1] else 0
        give(request, CONTENT[start:], 206 if start else 200)

    with answering(answer) as url:
        source = HttpSource(url)
        for start in (0, 1, 70_000, len(CONTENT) - 1):
            left = len(CONTENT) - start
            assert b"".join(source.stream("a", left, start)) == CONTENT[start:]
            with pytest.raises(Refused) as caught:
                b"".join(source.stream("a", left - 1, start))
            assert caught.value.attack is Attack.ENDLESS
    assert set(asked) == {None, "bytes=1-", "bytes=70000-", f"bytes={len(CONTENT) - 1}-"}


def test_no_redirection_is_followed() -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        if request.path == "/elsewhere":
            give(request, CONTENT)
        else:
            give(request, b"", 302, Location="/elsewhere")

    with answering(answer) as url, pytest.raises(LinkError) as caught:
        HttpSource(url).read("a", 1 << 20)
    assert caught.value.got == "302"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_is_that_also_at_a_store_of_objects(status: int) -> None:
    with answering(lambda request: give(request, b"", status)) as url, pytest.raises(Refused) as caught:
        HttpSource(url).read("a", 1 << 20)
    assert caught.value.attack is Attack.MISSING


@pytest.mark.parametrize("status", [204, 304, 400, 416, 500])
def test_other_answers_are_no_files(status: int) -> None:
    with answering(lambda request: give(request, b"", status)) as url, pytest.raises(LinkError) as caught:
        HttpSource(url).read("a", 1 << 20)
    assert caught.value.got == str(status)


def test_bytes_are_taken_as_they_are_and_asked_for_as_they_are() -> None:
    """A bomb of zeros would be a thousand times as long once it was unpacked."""
    packed, asked = gzip.compress(bytes(1 << 20)), []

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.headers["Accept-Encoding"])
        give(request, packed, Content_Encoding="gzip")

    with answering(answer) as url:
        assert HttpSource(url).read("a", 1 << 20) == packed
    assert asked == ["identity"]


def test_it_is_asked_once_and_whoever_asks_decides_whether_again() -> None:
    asked = []

    def hang_up(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        request.close_connection = True

    with answering(hang_up) as url, pytest.raises(LinkError):
        HttpSource(url).read("a", 1 << 20)
    assert asked == ["/a"]


def test_a_file_that_breaks_off_is_not_whole() -> None:
    def cut(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(CONTENT[:999])

    with answering(cut) as url, pytest.raises(LinkError, match="cannot be read"):
        HttpSource(url).read("a", 1 << 20)


@pytest.mark.parametrize(("seconds", "slow"), [(19.0, False), (25.0, False), (31.0, True)])
def test_the_rate_counts_from_behind_the_grace(seconds: float, slow: bool) -> None:
    """10,000 bytes: enough for 10 s at 1,000 bytes per second, and 20 s are given."""
    times = iter([0.0])
    with answering(lambda request: give(request, CONTENT[:10_000])) as url:
        source = HttpSource(url, least_rate=1_000, grace_s=20, clock=lambda: next(times, seconds))
        if not slow:
            assert source.read("a", 1 << 20) == CONTENT[:10_000]
            return
        with pytest.raises(Refused) as caught:
            source.read("a", 1 << 20)
    assert caught.value.attack is Attack.SLOW


# --- folders ---


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    (tmp_path / "stick" / "blobs").mkdir(parents=True)
    (tmp_path / "stick" / "blobs" / "a").write_bytes(CONTENT)
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "stick"


def test_a_folder_goes_on_from_where_it_was_asked_to(stick: Path) -> None:
    for start in (0, 1, 70_000, len(CONTENT)):
        assert b"".join(FolderSource(stick).stream("blobs/a", len(CONTENT) - start, start)) == CONTENT[start:]


@pytest.mark.parametrize("path", ["../secret", "blobs/../../secret", ".."])
def test_nothing_above_the_folder_is_read(stick: Path, path: str) -> None:
    with pytest.raises(Refused) as caught:
        FolderSource(stick).read(path, 1 << 20)
    assert caught.value.attack is Attack.ALTERED


def test_a_stick_may_be_named_by_a_link(stick: Path, tmp_path: Path) -> None:
    (tmp_path / "media").symlink_to(stick)
    assert FolderSource(tmp_path / "media").read("blobs/a", 1 << 20) == CONTENT


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENODEV])
def test_a_stick_that_was_drawn_is_no_attack(stick: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    real = os.open

    def drawn(path: object, *told: int, **more: int) -> int:
        if path == "a":
            raise OSError(number, os.strerror(number))
        return real(path, *told, **more)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(os, "open", drawn)
    with pytest.raises(LinkError, match="cannot be read"):
        FolderSource(stick).read("blobs/a", 1 << 20)


def test_no_handle_is_left_open(stick: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in ("blobs/a", "blobs/b", "blobs", "nothing/a", "../secret"):
        try:
            FolderSource(stick).read(path, 1 << 20)
        except (LinkError, Refused):
            continue
    assert len(os.listdir("/proc/self/fd")) == before
