"""A box speaks for itself alone: what a real mosquitto lets through with the configuration that is written for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from fleet_broker import PATIENCE_S, FleetBroker, needs_mosquitto
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from edgemill.cli.fleet.broker import run
from edgemill_core.errors import InputError
from edgemill_fleet.broker.mosquitto import FILES, Ports, access_list
from edgemill_fleet.broker.writing import read_again
from edgemill_fleet.founding import found
from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.identity.certificates import key_bytes, new_key
from edgemill_fleet.identity.enrolment import keep
from edgemill_fleet.identity.server_files import INTAKE
from edgemill_fleet.serving.serve import refresh
from edgemill_fleet.settings import FleetFolder, open_folder
from edgemill_fleet.store.database import open_database
from edgemill_fleet.store.devices import add_device, revoke_certificates, revoke_device
from edgemill_fleet.store.tables import Certificate
from edgemill_link import topics
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.connection import Connection, Handlers, why_not
from edgemill_link.enrolment import DeviceId


def now() -> datetime:
    return datetime.now(timezone.utc)


def wait_for(so: Callable[[], object], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not so():
        assert time.monotonic() < until, f"waited in vain for: {what}"
        time.sleep(0.005)


@dataclass
class Plant:
    """A fleet, its broker, and who is connected to it."""

    fleet: FleetFolder
    authority: Authority
    broker: FleetBroker
    clients: list[Connection] = field(default_factory=list)

    def box(self, name: str, authority: Authority | None = None, days: float = 9) -> Path:
        """Its key and certificate; a device of that name is in the database."""
        key = new_key()
        issued = (authority or self.authority).client(name, key.public_key(), now(), timedelta(days=days))
        file = self.fleet.path / f"{name}-{issued.serial}.pem"
        file.write_bytes(key_bytes(key) + issued.pem.encode())
        database = open_database(self.fleet.database_url)
        with database.session() as session:
            add_device(session, name, now().timestamp())
            keep(session, name, issued)
        database.close()
        return file

    def revoke_one(self, file: Path) -> None:
        """Of a box's certificates."""
        database = open_database(self.fleet.database_url)
        with database.session() as session:
            row = session.get(Certificate, file.stem.partition("-")[2])
            assert row is not None
            row.revoked_s = now().timestamp()
        database.close()
        refresh(self.fleet, self.authority, lambda _: None)

    def shut_out(self, name: str, device_too: bool = True) -> None:
        database = open_database(self.fleet.database_url)
        with database.session() as session:
            (revoke_device if device_too else revoke_certificates)(session, name, now().timestamp())
        database.close()
        refresh(self.fleet, self.authority, lambda _: None)
        assert self.broker.write()
        self.broker.read_again()

    def told(self, own: Path, at: str = "") -> BrokerSettings:
        return BrokerSettings(url=at or self.broker.boxes, ca=self.fleet.path / "ca.pem", certificate=own, key=own)

    def client(self, own: Path, name: str, listens: Sequence[str] = (), at: str = "") -> Client:
        made, told = Client(), self.told(own, at)
        made.connection = Connection(told, name, listens, Handlers(made.up, made.went.append, made.came))
        made.connection.start()
        self.clients.append(made.connection)
        return made


@dataclass
class Client:
    """What it saw."""

    seen: list[tuple[str, bytes]] = field(default_factory=list)
    went: list[str] = field(default_factory=list)
    ups: int = 0
    connection: Connection | None = None

    def up(self) -> None:
        self.ups += 1

    def came(self, topic: str, payload: bytes) -> None:
        self.seen.append((topic, payload))

    def say(self, topic: str, payload: bytes) -> None:
        assert self.connection is not None
        assert self.connection.publish(topic, payload)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    needs_mosquitto()
    fleet = found(tmp_path / "fleet", {}, now(), releases=False).folder
    authority = Authority.open(fleet.path)
    refresh(fleet, authority, lambda _: None)
    (tmp_path / "broker").mkdir()
    made = Plant(fleet, authority, FleetBroker(fleet, tmp_path / "broker"))
    made.broker.start()
    yield made
    for one in made.clients:
        one.stop()
    made.broker.close()


def intake(plant: Plant, name: str = "intake-1") -> Client:
    keys = plant.fleet.keys
    file = plant.fleet.path / "intake.pem"
    file.write_bytes((keys / "intake.key.pem").read_bytes() + (keys / "intake.pem").read_bytes())
    made = plant.client(file, name, [topics.records("+"), topics.online("+"), topics.facts("+")], plant.broker.intake)
    wait_for(lambda: made.ups, "the intake")
    return made


def test_a_box_speaks_for_itself_alone(plant: Plant) -> None:
    hub = intake(plant)
    everything = [topics.acknowledgement("line3"), topics.acknowledgement("line4"), topics.records("+"), "#", "$SYS/#"]
    one = plant.client(plant.box("line3"), "line3", everything)
    two = plant.client(plant.box("line4"), "line4", [topics.acknowledgement("line4")])
    wait_for(lambda: one.ups and two.ups, "both boxes")
    for topic in (topics.records("line4"), topics.online("line4"), topics.acknowledgement("line3"), "edgemill/1", "x"):
        one.say(topic, b"forged")
    own = [topics.records("line3"), topics.online("line3"), topics.facts("line3")]
    for topic in own:
        one.say(topic, b"own")
    hub.say(topics.acknowledgement("line4"), b"for line4")
    hub.say(topics.acknowledgement("line3"), b"for line3")
    wait_for(lambda: len(hub.seen) >= 3 and one.seen and two.seen, "what may come")
    assert hub.seen == [(topic, b"own") for topic in own]
    assert set(one.seen) == {(topics.acknowledgement("line3"), b"for line3")}
    assert two.seen == [(topics.acknowledgement("line4"), b"for line4")]


def test_a_box_that_says_anothers_client_id_throws_nobody_out(plant: Plant) -> None:
    two = plant.client(plant.box("line4"), "edgemill-line4")
    wait_for(lambda: two.ups, "line4")
    one = plant.client(plant.box("line3"), "edgemill-line4")
    wait_for(lambda: one.ups, "line3")
    hub = intake(plant)
    two.say(topics.records("line4"), b"still here")
    wait_for(lambda: hub.seen, "a record of line4")
    assert (two.ups, two.went) == (1, [])


def test_several_intakes_show_one_certificate(plant: Plant) -> None:
    both = [intake(plant, name) for name in ("intake-1", "intake-2")]
    box = plant.client(plant.box("line3"), "line3")
    wait_for(lambda: box.ups, "line3")
    box.say(topics.records("line3"), b"to both")
    wait_for(lambda: all(one.seen for one in both), "a record at both")
    assert [one.went for one in both] == [[], []]


def test_who_has_no_certificate_of_the_fleet_is_refused(plant: Plant, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority.create(tmp_path / "other", "other", now())
    over = plant.box("line5", days=-0.01)
    for own in (plant.box("line3", stranger), over):
        assert "refuses our certificate" in why_not(plant.told(own))


def test_a_box_that_is_shut_out_can_say_nothing_more_and_the_others_notice_nothing(plant: Plant) -> None:
    hub = intake(plant)
    file = plant.box("line3")
    one, two = plant.client(file, "line3"), plant.client(plant.box("line4"), "line4")
    wait_for(lambda: one.ups and two.ups, "both boxes")
    plant.shut_out("line3")
    assert "CERTIFICATE_REVOKED" in why_not(plant.told(file))
    assert one.went == two.went == hub.went == []
    one.say(topics.records("line3"), b"from before")
    two.say(topics.records("line4"), b"own")
    wait_for(lambda: hub.seen, "a record of line4")
    assert hub.seen == [(topics.records("line4"), b"own")]


def test_a_box_that_was_let_in_again_gets_in_by_its_new_certificate_alone(plant: Plant) -> None:
    stolen = plant.box("line3")
    plant.shut_out("line3", device_too=False)
    fresh = plant.client(plant.box("line3"), "line3")
    wait_for(lambda: fresh.ups, "line3")
    assert "CERTIFICATE_REVOKED" in why_not(plant.told(stolen))


def test_the_broker_is_not_told_to_read_what_has_not_changed(plant: Plant) -> None:
    assert not plant.broker.write()
    with pytest.raises(InputError, match="not told"):
        read_again(plant.fleet.path / "nobody")


def test_files_of_a_fleet_that_was_never_served_are_said_to_be_missing(tmp_path: Path) -> None:
    fleet = found(tmp_path / "fleet", {}, now(), releases=False).folder
    with pytest.raises(InputError, match="cannot be written"):
        FleetBroker(fleet, tmp_path / "broker").write()


def test_no_device_is_called_as_the_intake_is() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(DeviceId).validate_python(INTAKE)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z"), unique=True, max_size=5))
def test_each_device_that_is_shut_out_has_a_block_of_its_own(devices: list[str]) -> None:
    lines = access_list(devices).splitlines()
    for device in devices:
        assert lines[lines.index(f"user {device}") + 1] == "topic deny edgemill/1/#"
    assert sum(line.startswith("user ") for line in lines) == len(devices) + 1
    assert lines[-1].startswith("pattern")


def test_a_connection_that_comes_back_shows_the_certificate_that_was_renewed_since(plant: Plant) -> None:
    own = plant.fleet.path / "box.pem"
    own.write_bytes(plant.box("line3").read_bytes())
    box = plant.client(own, "line3")
    wait_for(lambda: box.ups, "line3")
    own.write_bytes(plant.box("line3").read_bytes())
    first = min(plant.fleet.path.glob("line3-*.pem"), key=lambda file: file.stat().st_mtime_ns)
    plant.revoke_one(first)
    plant.broker.close()
    plant.broker.start()
    wait_for(lambda: box.ups == 2, "line3 to come back with its new certificate")
    assert "CERTIFICATE_REVOKED" in why_not(plant.told(first))


def test_the_command_writes_the_files_and_says_what_the_settings_lack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "fleet"
    found(place, {"url": "https://plant:8443"}, now(), releases=False)
    run(place, None, Ports(1883, 1884), "root", None, json=False)
    said = capsys.readouterr().out
    assert {file.name for file in (place / "broker").iterdir()} == set(FILES)
    lines = dict(line.strip().split(": ", 1) for line in said.splitlines() if line.startswith("  "))
    assert lines["broker"] == '"mqtts://plant:1883"'
    (place / "fleet.yaml").write_text(f"url: https://plant:8443\nmqtt: {lines['mqtt']}\n")
    assert open_folder(place).settings.mqtt is not None
    run(place, None, Ports(1883, 1884), "root", place / "nobody", json=False)
    assert "as before" in capsys.readouterr().out
