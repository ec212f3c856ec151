"""Processes that are looked after: they come back, and they end with whoever looks after them."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from fleet_folder import make_fleet

from edgemill_core.errors import InputError, SettingsError
from edgemill_fleet.founding import ONLINE, PLANS, found
from edgemill_fleet.releases.keys import make_key
from edgemill_fleet.serving.names import process_name
from edgemill_fleet.serving.serve import broker_of, listening
from edgemill_fleet.serving.steward_process import steward_of
from edgemill_fleet.serving.supervisor import Part, Supervisor
from edgemill_fleet.settings import FleetFolder, ManagerSettings, open_folder
from edgemill_fleet.store.migrations import upgrade

WHOLE = "EDGEMILL_FLEET_SERVE" in os.environ


def until(supervisor: Supervisor, true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not true():
        supervisor.step()
        assert time.monotonic() < give_up


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_part_that_is_killed_comes_back_and_all_end_together(tmp_path: Path) -> None:
    said: list[str] = []
    parts = [Part(name, "toy_part", {"lives": str(tmp_path / name)}) for name in ("one", "two")]
    supervisor = Supervisor(parts, said.append)
    try:
        until(supervisor, supervisor.step)
        before = supervisor.pids
        assert "one: here" in said
        os.kill(before["one"], signal.SIGKILL)
        until(supervisor, lambda: supervisor.pids.get("one") not in (None, before["one"]) and supervisor.step())
        assert supervisor.pids["two"] == before["two"]
        assert any("one ended: killed by SIGKILL; it is started again in" in one for one in said)
        assert supervisor.refused is None
    finally:
        pids, begun = supervisor.pids, time.monotonic()
        supervisor.stop()
    assert time.monotonic() - begun < 7  # they were asked to end, and not only killed when that took too long
    assert not any(alive(pid) for pid in pids.values())


def test_a_part_that_refuses_to_begin(tmp_path: Path) -> None:
    supervisor = Supervisor([Part("odd", "toy_part", {"refuse": True})], lambda _: None)
    try:
        until(supervisor, lambda: supervisor.refused is not None)
        told = supervisor.refused
        assert told is not None
        assert (told["what"], told["to_do"]) == ("no folder", "make it")
    finally:
        supervisor.stop()


def test_one_that_dies_again_and_again_waits_longer_each_time(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor([Part("one", "toy_part", {"lives": str(tmp_path / "x"), "lives_s": 0})], said.append)
    try:
        until(supervisor, lambda: sum("started again" in one for one in said) == 2)
    finally:
        supervisor.stop()
    waits = [one.rpartition(" in ")[2] for one in said if "started again" in one]
    assert waits == ["1 s", "2 s"]


def test_containers_that_look_alike_hold_no_lease_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "fleet" * 20)
    monkeypatch.setattr(os, "getpid", lambda: 7)
    one, two = process_name(), process_name()
    assert one != two
    assert max(len(one), len(two)) <= 47
    folder = FleetFolder(tmp_path, ManagerSettings())
    for name in (ONLINE, PLANS):
        make_key(folder.keys, name)
    upgrade(folder.database_url)
    assert steward_of(folder).step().ours
    assert not steward_of(folder).step().ours


def test_two_cannot_listen_at_one_place(tmp_path: Path) -> None:
    with listening(FleetFolder(tmp_path, ManagerSettings(listen="127.0.0.1:0"))) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match="nothing can listen"):
            with listening(FleetFolder(tmp_path, ManagerSettings(listen=f"127.0.0.1:{port}"))):
                pass


def test_a_broker_of_our_own_says_what_it_is(tmp_path: Path) -> None:
    said: list[str] = []
    with broker_of(FleetFolder(tmp_path, ManagerSettings()), said.append) as (broker, embedded):
        assert (embedded, broker.tls) == (True, False)
    assert "to try things out: without TLS" in said[0]
    named = ManagerSettings.model_validate({"mqtt": {"url": "mqtt://10.0.0.1"}})
    with broker_of(FleetFolder(tmp_path, named), said.append) as (broker, embedded):
        assert (broker.host, embedded, len(said)) == ("10.0.0.1", False, 1)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("url: http://fleet", "url"),
        ("listen: everywhere", "listen"),
        ("tls: false", "(top)"),
        ("name: plant-a\nmore: 1", "line 2: more"),
        ("workers: 0", "workers"),
        ("mqtt: {url: 'http://x'}", "mqtt.url"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "fleet.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"fleet\.yaml") as caught:
        open_folder(tmp_path)
    assert where in caught.value.what


def test_files_that_settings_name_lie_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(
        "mqtt: {url: 'mqtts://b', ca: ca.pem, certificate: /etc/c.pem, key: keys/k.pem}"
    )
    mqtt = open_folder(tmp_path).settings.mqtt
    assert mqtt is not None
    assert (mqtt.ca, mqtt.certificate, mqtt.key) == (tmp_path / "ca.pem", Path("/etc/c.pem"), tmp_path / "keys/k.pem")


# --- the whole of it ---


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any], ssl.SSLContext]]:
    if not WHOLE:
        pytest.skip("SKIPPED: EDGEMILL_FLEET_SERVE is not set, so no whole fleet was served and killed (CI does)")
    folder = tmp_path / "fleet"
    found(folder, {"listen": "127.0.0.1:0", "workers": 2}, datetime.now(timezone.utc))
    command = [sys.executable, "-m", "edgemill", "fleet", "serve", str(folder), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, text
            text += line
        try:
            yield process, json.loads(text), ssl.create_default_context(cafile=str(folder / "ca.pem"))
        finally:
            process.kill()


def healthy(url: str, context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=10, context=context) as answer:
            return bool(json.load(answer)["database"] == "good")
    except OSError:
        return False


def test_a_whole_fleet_survives_that_its_processes_are_killed(
    served: tuple[subprocess.Popen[str], dict[str, Any], ssl.SSLContext],
) -> None:
    process, told, context = served
    assert set(told["pids"]) == {"web 1", "web 2", "intake", "steward"}
    assert healthy(told["url"], context)
    for pid in told["pids"].values():
        os.kill(pid, signal.SIGKILL)
    give_up = time.monotonic() + 60
    while not healthy(told["url"], context):
        assert time.monotonic() < give_up
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_a_whole_fleet_ends_with_its_supervisor(
    served: tuple[subprocess.Popen[str], dict[str, Any], ssl.SSLContext],
) -> None:
    process, told, _ = served
    process.kill()
    process.wait(10)
    give_up = time.monotonic() + 10
    while any(alive(pid) for pid in told["pids"].values()):
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_a_folder_without_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no fleet at"):
        open_folder(make_fleet(tmp_path / "fleet").manager.folder.path)
