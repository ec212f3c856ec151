"""Pictures sent over HTTP: the answer is what stands in the ledger, and a bad request is told what is wrong."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from agent_box import Box, wait_until
from controllers import free_port

from edgemill_agent.sources.base import Arrival
from edgemill_agent.sources.push import PushSource
from edgemill_runtimes.frames import encode_png

PNG = {"Content-Type": "image/png"}


class Sender:
    """A program that pushes pictures."""

    def __init__(self, port: int) -> None:
        self.port = port

    def send(self, body: bytes, query: str = "", **named: Any) -> tuple[int, dict[str, Any]]:
        asked = {"method": "POST", "url": f"/frames{query}", "headers": PNG, **named}
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            line.request(body=body, **asked)
            answer = line.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            line.close()

    def listened_to(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def sender(box: Box) -> Sender:
    """Of a box that runs."""
    sender = Sender(free_port())
    push = {"port": sender.port, "wait_ms": 3000}
    box.settings["stations"][0] |= {"source": {"push": push, "max_frame_bytes": 65536, "slots": 2}, "hang_ms": 20_000}
    box.settings["drain_s"] = 0.5
    box.start()
    wait_until(sender.listened_to, "the agent to listen")
    return sender


def picture(box: Box, name: str = "0000.png") -> bytes:
    return (box.folder / "pictures" / name).read_bytes()


def test_the_answer_is_what_stands_in_the_ledger(box: Box, sender: Sender) -> None:
    status, told = sender.send(picture(box), "?part=lot-7&expected=AB12&order=4711")
    assert status == 200
    status, other = sender.send(picture(box, "0001.png"))
    assert status == 200
    first, second = box.verdicts()
    assert first.payload is not None
    body = first.payload.content()
    assert (told["number"], told["item"], told["decision"]) == (first.header.number, "lot-7", first.header.decision)
    assert told["reasons"] == body["verdict"]["reasons"]
    assert body["context"] == {"expected": "AB12", "order": "4711"}
    assert other["number"] == second.header.number
    assert other["item"] == second.payload.content()["item"] > "2026"  # type: ignore[union-attr]


def test_many_senders_get_each_their_own_answer(box: Box, sender: Sender) -> None:
    names = sorted(path.name for path in (box.folder / "pictures").glob("*.png"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: sender.send(picture(box, name), f"?part={name}"), names))
    assert [status for status, _ in answers] == [200] * len(names)
    recorded = {r.payload.content()["item"]: r for r in box.verdicts() if r.payload}
    assert len(recorded) == len(names)
    for name, (_, told) in zip(names, answers, strict=True):
        assert told["item"] == name
        assert told["number"] == recorded[name].header.number
        assert told["decision"] == recorded[name].header.decision


BOMB = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x4e\x20\0\0\x4e\x20\x08\x02\0\0\0"
WRONG: dict[str, tuple[dict[str, Any], int, str]] = {
    "no picture": ({"body": b"no picture"}, 400, "cannot be decoded"),
    "nothing": ({"body": b""}, 400, "cannot be decoded"),
    "half a JPEG": ({"body": b"\xff\xd8\xff\xe0" + bytes(300)}, 400, "cannot be decoded"),
    "a decode bomb": ({"body": BOMB}, 400, "cannot be decoded"),
    "too large for a slot": ({"body": encode_png(np.zeros((400, 400, 3), np.uint8))}, 413, "480000 bytes"),
    "a body too long": ({"body": bytes(200_000)}, 413, "131072 is the most"),
    "one that takes a while": ({"body": bytes(40_000_000)}, 413, "40000000 bytes"),
    "another path": ({"body": b"x", "url": "/frame"}, 404, "/frame"),
    "another method": ({"body": b"x", "method": "PUT"}, 405, "only POST"),
    "a look": ({"body": None, "method": "GET"}, 405, "only POST"),
    "no type": ({"body": b"x", "headers": {}}, 415, "type none"),
    "a form": ({"body": b"x", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415, "urlencoded"),
    "a page of elsewhere": ({"body": b"x", "headers": {**PNG, "Host": "evil.example:80"}}, 403, "evil.example"),
    "no length": ({"body": b"x", "headers": {**PNG, "Content-Length": "many"}}, 411, "length"),
    "in pieces": ({"body": iter([b"x"])}, 411, "length"),
    "a name with a blank": ({"body": b"x", "url": "/frames?part=a%20b"}, 400, "characters"),
    "too many words": ({"body": b"x", "url": f"/frames?{'a=1&' * 30}"}, 400, "number of fields"),
    "a word too long": ({"body": b"x", "url": f"/frames?a={'b' * 300}"}, 400, "too long"),
    "no UTF-8": ({"body": b"x", "url": "/frames?a=%ff"}, 400, "known of the part"),
}


def test_a_bad_request_is_told_what_is_wrong_and_is_no_part(box: Box, sender: Sender) -> None:
    for name, (asked, status, words) in WRONG.items():
        body = asked.pop("body")
        got, told = sender.send(body, **asked)
        assert (name, got) == (name, status)
        assert words in told["error"], name
        assert told["to_do"], name
    assert sender.send(picture(box))[0] == 200
    assert box.recorded() == 1


def test_a_sender_that_is_too_slow_or_goes_away_holds_nobody_up(box: Box, sender: Sender) -> None:
    lines = [socket.create_connection(("127.0.0.1", sender.port)) for _ in range(4)]
    head = b"POST /frames HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 500\r\n\r\n"
    for line in lines:
        line.sendall(head + b"half")
    assert sender.send(picture(box))[0] == 200
    lines[0].shutdown(socket.SHUT_WR)
    assert b"4 bytes of 500 came" in lines[0].makefile("rb").read()
    for line in lines:
        line.close()
    assert sender.send(picture(box))[0] == 200
    assert box.recorded() == 2


def test_while_the_engine_hangs_parts_are_taken_or_sent_back_and_both_is_said(box: Box, sender: Sender) -> None:
    assert sender.send(picture(box))[0] == 200
    frozen = box.kill("cell/engine", signal.SIGSTOP)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: sender.send(picture(box)), range(6)))
    assert sorted(status for status, _ in answers) == [503] * 4 + [504] * 2  # two slots
    for status, told in answers:
        assert told["to_do"].startswith("send it again" if status == 503 else "do not send it again")
    os.kill(frozen, signal.SIGCONT)
    status, _ = sender.send(picture(box))
    assert status == 200
    taken = {told["item"] for status, told in answers if status == 504}
    assert taken <= set(box.items())
    assert box.recorded() == 4  # what was sent back was not judged


def test_a_verdict_that_is_not_on_the_disk_is_no_answer(box: Box, sender: Sender) -> None:
    assert sender.send(picture(box))[0] == 200
    disk = sqlite3.connect(box.state / "ledger.db")
    disk.execute("BEGIN IMMEDIATE")  # nobody else can write now
    try:
        status, told = sender.send(picture(box), "?part=meanwhile")
        assert (status, told["item"]) == (504, "meanwhile")
        assert "no verdict was recorded" in told["error"]
    finally:
        disk.close()
    wait_until(lambda: box.recorded() == 2, "it to be recorded after all")
    assert sender.send(picture(box))[0] == 200


def test_a_picture_whose_sender_was_sent_away_is_not_held() -> None:
    port = free_port()
    made = PushSource({"push": {"port": port, "wait_ms": 50}, "max_frame_bytes": 65536}, "")
    for _ in range(3):
        assert Sender(port).send(encode_png(np.zeros((4, 4, 3), np.uint8)))[0] == 503
    arrivals = [next(made.parts()) for _ in range(3)]
    assert all(one is not None and one.frame is None and not made.hand_over(one) for one in arrivals)


def test_an_answer_to_a_part_of_an_earlier_worker_reaches_nobody() -> None:
    def source() -> tuple[PushSource, Sender]:
        port = free_port()
        return PushSource({"push": {"port": port, "wait_ms": 20_000}, "max_frame_bytes": 65536}, ""), Sender(port)

    def pushed(made: PushSource) -> Arrival:
        arrival = next(arrival for arrival in made.parts() if arrival is not None)
        assert made.hand_over(arrival)
        return arrival

    blank = encode_png(np.zeros((4, 4, 3), np.uint8))
    (earlier, one), (later, other) = source(), source()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(one.send, blank), pool.submit(other.send, blank)
        old, new = pushed(earlier), pushed(later)
        for decision, asked in (("reject", old), ("pass", new)):
            later.answered({"answer": asked.ask, "decision": decision})
        assert second.result() == (200, {"decision": "pass"})
        earlier.answered({"answer": old.ask, "decision": "reject"})
        assert first.result() == (200, {"decision": "reject"})


def test_a_push_into_the_death_of_the_worker_is_never_called_recorded(box: Box, sender: Sender) -> None:
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def push(who: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            name = f"{who}-{turn:06d}"
            try:
                answers.append((sender.send(picture(box), f"?part={name}")[0], name))
            except (OSError, http.client.HTTPException, ValueError):
                answers.append((0, name))

    threads = [threading.Thread(target=push, args=[who]) for who in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        seen = len([status for status, _ in answers if status == 200])
        wait_until(lambda seen=seen: len([s for s, _ in answers if s == 200]) > seen + 20, "answers")
        dead = box.kill("cell/source")
        wait_until(lambda dead=dead: box.processes().get("cell/source", dead) != dead, "another worker")
        wait_until(sender.listened_to, "it to listen")
    seen = len(answers)
    wait_until(lambda: len([s for s, _ in answers[seen:] if s == 200]) > 5, "answers")
    box.running[-1].kill()  # the line process itself, too
    over.set()
    for thread in threads:
        thread.join()
    said = [name for status, name in answers if status == 200]
    recorded = box.items()
    assert {status for status, _ in answers} <= {0, 200}
    assert set(said) <= set(recorded)
    assert len(set(recorded)) == len(recorded)


def test_a_port_that_is_taken_is_said_at_once(box: Box, sender: Sender, tmp_path: Any) -> None:
    other = Box(box.folder, {**box.settings, "state": "other-state"})
    agent: subprocess.Popen[str] = other.start()
    _, err = agent.communicate(timeout=60)
    assert agent.returncode == 2
    assert f"port {sender.port}" in err
