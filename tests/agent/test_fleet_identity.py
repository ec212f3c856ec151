"""``fleet: {identity: auto}``: what a box that was let in need not be told, and what it says itself all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from door import made

from edgemill_agent.settings import AgentSettings, read_settings
from edgemill_core.errors import SettingsError
from edgemill_link.identity import Identity, write_identity

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    station = {"name": "s", "bundle": "b", "source": {"folder": "f"}}
    good = {"device": {"id": "line3"}, "stations": [station], "fleet": {"identity": "auto"}}

    def written(**changes: Any) -> Path:
        path = tmp_path / "agent.yaml"
        path.write_text(yaml.safe_dump({**good, **changes}))
        return path

    return written


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return write_identity(tmp_path / "state", "https://fleet:8443", *made(tmp_path / "fleet", "line3"))


def test_fleet_broker_and_whom_to_trust_come_from_the_identity(write: Write, identity: Identity) -> None:
    found = read_settings(write())
    assert found.fleet is not None
    assert (found.fleet.url, found.fleet.trust) == ("https://fleet:8443/releases", identity.root)
    assert (found.fleet.ca, found.fleet.certificate) == (identity.ca, identity.own)
    assert found.mqtt is not None
    assert found.mqtt.url == identity.fleet.broker == "mqtts://127.0.0.1:8883"
    assert (found.mqtt.ca, found.mqtt.certificate, found.mqtt.key) == (identity.ca, identity.own, identity.own)


def test_what_the_settings_say_themselves_counts(write: Write, identity: Identity, tmp_path: Path) -> None:
    found = read_settings(write(fleet={"identity": "auto", "trust": "r.json", "url": "https://mirror/releases"}))
    assert found.fleet is not None
    assert (found.fleet.url, found.fleet.trust) == ("https://mirror/releases", tmp_path / "r.json")
    assert found.fleet.ca == identity.ca


@pytest.mark.parametrize(
    ("mqtt", "shown"),
    [
        ({"url": "mqtts://other:8883"}, True),
        ({"url": "mqtts://other:8883", "username": "line3"}, False),
        ({"url": "mqtts://other:8883", "ca": "ca.pem"}, False),
        ({"url": "mqtt://127.0.0.1:1883"}, False),
    ],
)
def test_a_broker_that_is_named_gets_the_certificate_unless_it_is_said_how_to_get_in(
    write: Write, identity: Identity, mqtt: dict[str, str], shown: bool
) -> None:
    found = read_settings(write(mqtt=mqtt)).mqtt
    assert found is not None
    assert found.url == mqtt["url"]
    assert (found.certificate == identity.own) is shown


def test_a_fleet_without_a_broker_gives_none(write: Write, tmp_path: Path) -> None:
    key, given = made(tmp_path / "fleet", "line3")
    write_identity(tmp_path / "state", "https://fleet", key, given.model_copy(update={"broker": ""}))
    assert read_settings(write()).mqtt is None


def test_without_identity_nothing_of_it_counts(write: Write, identity: Identity) -> None:
    found: AgentSettings = read_settings(write(fleet={"trust": "root.json"}))
    assert found.mqtt is None
    assert found.fleet is not None
    assert found.fleet.certificate is None


def test_a_box_that_was_not_let_in_is_told_how(write: Write) -> None:
    with pytest.raises(SettingsError, match="not let in") as refused:
        read_settings(write())
    assert "edgemill agent enrol" in str(refused.value.fix)


def test_a_box_that_was_let_in_as_another_says_so(write: Write, identity: Identity) -> None:
    with pytest.raises(SettingsError, match="another device"):
        read_settings(write(device={"id": "line4"}))


def test_a_fleet_that_says_nobody_to_trust_is_a_mistake(write: Write) -> None:
    with pytest.raises(SettingsError, match="wrong at 'fleet'"):
        read_settings(write(fleet={"url": "https://fleet"}))
