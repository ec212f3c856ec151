"""The log: what a line says, what it must not say, and that nobody who does not read it holds up a part."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from agent_box import PATIENCE_S, Box, wait_until

from edgemill_agent.logs.lines import JsonLines, TextLines
from edgemill_agent.logs.writer import PatientHandler, agent_log
from edgemill_agent.processes.output import Output

CHATTER = """
import os, sys, threading, time
def chatter():
    while True:
        os.write(2, b"a native library speaks\\n" * 100)
        time.sleep(0.005)
if "edgemill_agent.workers" in " ".join(sys.orig_argv):
    os.write(2, b"hello\\n" + b"x" * 3_000_000 + b"\\n")
    threading.Thread(target=chatter, daemon=True).start()
"""


def record(message: str, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("edgemill.agent", logging.WARNING, "file", 1, message, (), None)
    made.__dict__.update(more)
    return made


def test_an_object_says_who_what_and_when() -> None:
    told = json.loads(JsonLines("box-1").format(record("late — so", station="cell", number=7)))
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "warning",
        "logger": "edgemill.agent",
        "message": "late — so",
        "device": "box-1",
        "process": "line",
        "station": "cell",
        "number": 7,
    }
    told = json.loads(JsonLines("box-1").format(record("x\ny", output_of="cell/engine")))
    assert (told["process"], told["station"], told["message"]) == ("cell/engine", "cell", "x\ny")
    try:
        raise ValueError("rtsp://me:pw@cam")
    except ValueError:
        told = json.loads(JsonLines("b").format(record("bad", exc_info=sys.exc_info())))
    assert "Traceback" in told["exception"]
    assert "pw" not in told["exception"]


@pytest.mark.parametrize("form", [JsonLines("b", ["hunter2", "abc"]), TextLines(["hunter2", "abc"])])
def test_secrets_are_in_no_line(form: logging.Formatter) -> None:
    line = form.format(record("rtsp://me:geheim@cam says hunter2, and abc", output_of="cell/source"))
    assert "geheim" not in line
    assert "hunter2" not in line
    assert "abc" in line  # too short to be one
    assert "cell/source" in line


def test_a_log_that_nobody_reads_holds_up_nobody_and_says_what_was_left_out() -> None:
    read, write = os.pipe()
    handler = PatientHandler(write, held_most=1000)
    handler.setFormatter(logging.Formatter("%(message)s"))
    start = time.monotonic()
    for turn in range(20_000):
        handler.emit(record(f"{turn} {'x' * 100}"))
    assert not handler.last_words(0.05)
    assert time.monotonic() - start < PATIENCE_S / 4
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(read, 1 << 16), b"")), daemon=True)
    reader.start()
    assert handler.last_words(PATIENCE_S)
    os.close(write)
    reader.join(PATIENCE_S)
    os.close(read)
    lines = b"".join(got).decode().splitlines()
    whole = [int(line.split()[0]) for line in lines if line.endswith("xxx")]
    left_out = sum(int(line.split()[0]) for line in lines if "nobody read them in time" in line)
    assert whole == sorted(set(whole))
    assert len(whole) >= 1000
    assert len(whole) + left_out == 20_000


def test_a_log_whose_reader_is_gone_costs_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    handler = PatientHandler(write)
    handler.emit(record("to nobody"))
    assert handler.last_words(PATIENCE_S)
    os.close(write)


def test_a_line_that_cannot_be_made_costs_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with agent_log("text", "box-1"):
        logging.getLogger("x").warning("%d parts", "no")
        logging.getLogger("x").warning("well")
    told = capfd.readouterr().err
    assert "cannot be written: '%d parts'" in told
    assert "well" in told


def start(box: Box, stderr: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgemill", "agent", "run", str(box.write()), "--json", *more]
    agent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    box.running.append(agent)
    return agent


def chatty(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    (box.folder / "chatter").mkdir()
    (box.folder / "chatter/sitecustomize.py").write_text(CHATTER)
    monkeypatch.setenv("PYTHONPATH", str(box.folder / "chatter"))


def test_a_hung_journal_and_workers_that_never_stop_talking_cost_no_verdict(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatty(box, monkeypatch)
    box.settings["stations"][0]["deadline_ms"] = 5000
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)  # nobody reads, and it is full from the start
    except BlockingIOError:
        os.set_blocking(write, True)
    agent = start(box, write, "--log", "json")
    os.close(write)
    out, _ = agent.communicate(timeout=PATIENCE_S)
    os.close(read)
    assert agent.returncode == 0
    account: dict[str, Any] = json.loads(out)["stations"]["cell"]
    assert (account["verdicts"], account["late"], account["engine_restarts"]) == (60, 0, 0)


def test_each_line_is_an_object_and_says_whose_it_is(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    chatty(box, monkeypatch)
    box.settings["stations"][0]["source"]["once"] = False
    agent = start(box, subprocess.PIPE, "--log", "json")
    wait_until(lambda: box.recorded() == 60, "verdicts")
    box.kill("cell/engine")
    time.sleep(1.5)  # what was left out is said with the next second
    agent.send_signal(signal.SIGTERM)
    _, err = agent.communicate(timeout=PATIENCE_S)
    told = [json.loads(line) for line in err.splitlines()]
    assert {one["device"] for one in told} == {"box-1"}
    assert {one["process"] for one in told} == {"line", "cell/source", "cell/engine"}
    spoken = [one for one in told if one["process"] == "cell/engine"]
    assert spoken[0]["message"] == "hello"
    assert any("left out" in one["message"] for one in spoken)
    assert {one["station"] for one in spoken} == {"cell"}
    ended = next(one for one in told if "ended; it is started again" in one["message"])
    assert (ended["station"], ended["process"], ended["level"]) == ("cell", "line", "warning")
    assert len(told) < 2000


def test_the_last_words_of_a_worker_are_in_the_log(box: Box) -> None:
    (box.folder / "state").mkdir()
    agent = start(box, subprocess.PIPE)
    killed = box.kill("cell/source", signal.SIGABRT)  # the interpreter has no say; the log has
    _, err = agent.communicate(timeout=PATIENCE_S)
    assert killed
    assert "cell/source ended" in err


def test_a_password_is_read_so_that_it_can_be_kept_out(tmp_path: Path) -> None:
    from edgemill.cli.agent import _secrets
    from edgemill_agent.settings import AgentSettings

    file = tmp_path / "password"
    settings = AgentSettings.model_validate(
        {
            "device": {"id": "b"},
            "mqtt": {"url": "mqtt://h", "username": "u", "password_file": file},
            "stations": [{"name": "s", "bundle": "b", "source": {"folder": "p"}}],
        }
    )
    assert _secrets(settings) == []
    file.write_text("geheim\n")
    assert _secrets(settings) == ["geheim"]


def test_every_line_of_a_worker_is_told_or_counted(caplog: pytest.LogCaptureFixture) -> None:
    async def child() -> None:
        output = Output("cell/engine")
        theirs = os.dup(output.theirs)
        output.started()
        for turn in range(5):
            os.write(theirs, b"".join(b"line %d %d\n" % (turn, line) for line in range(400)))
            await asyncio.sleep(0.05)
        os.write(theirs, b"and no end")
        os.close(theirs)
        output.close()

    asyncio.run(child())
    told = [one.getMessage() for one in caplog.records]
    left_out = sum(int(one.split()[0]) for one in told if "left out" in one)
    lines = [one for one in told if one.startswith("line")]
    assert len(lines) >= 100
    assert len(lines) + left_out in (2000, 2001)  # the last one has no end
    assert {getattr(one, "output_of", "") for one in caplog.records} == {"cell/engine"}
