"""The story of a fleet, with light boxes: in waves, stopped by a refusal, resumed, silent, aborted; one is shut out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_broker import needs_mosquitto
from light_plant import LightBox, LightFleet
from small_bundle import make_bundle

from edgemill_core.errors import IdentityError
from edgemill_link.connection import why_not
from edgemill_link.enrolling import renew

NAMES = ("line1", "line2", "line3")
WAVES: list[dict[str, object]] = [{"percent": 33}, {"percent": 66}, {"percent": 100}]
RELEASE = ["b/1.0.0"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[LightFleet]:
    needs_mosquitto()
    made = LightFleet(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def boxes(fleet: LightFleet, tmp_path: Path) -> Iterator[list[LightBox]]:
    made = [LightBox(tmp_path, fleet, name) for name in NAMES]
    yield made
    for box in made:
        box.close()


def test_a_fleet_from_its_first_box_to_the_one_that_is_shut_out(
    fleet: LightFleet, boxes: list[LightBox], tmp_path: Path
) -> None:
    one, two, three = boxes
    fleet.release(make_bundle(tmp_path / "bundle", {}))
    number = fleet.roll_out("1.0.0", WAVES, silent_s=100, name="b")

    # The first wave is asked, and nobody else; the second one when the first took it.
    fleet.until_planned("line1")
    assert (one.planned(), two.planned(), three.planned()) == (RELEASE, [], [])
    one.tell("committed")
    fleet.until_planned("line2")
    assert (two.planned(), three.planned()) == (RELEASE, [])

    # One refuses: it stops by itself. Somebody looked, and has it asked again.
    two.tell("refused")
    fleet.until(lambda: fleet.rollout(number)["course"] == "stopped", "a stop")
    assert "line2 (refused)" in fleet.rollout(number)["why"]
    assert three.planned() == []
    fleet.anna.turn(number, "resume", again=True, why="a cable")
    fleet.until(lambda: fleet.outcomes(number)["line2"] == "asked", "line2 to be asked again")
    two.tell("committed")

    # The last one says nothing, which is a failure; it is given up.
    fleet.until_planned("line3")
    assert three.planned() == RELEASE
    fleet.pass_by(101)
    assert fleet.rollout(number)["course"] == "stopped"
    assert fleet.outcomes(number) == {"line1": "took", "line2": "took", "line3": "silent"}
    fleet.ben.turn(number, "abort", back=True, why="we wait for the next one")
    fleet.until(lambda: one.planned() == two.planned() == three.planned() == [], "plans of before")

    # A certificate is renewed; one that is shut out renews nothing, reads nothing, and connects no more.
    three.identity = renew(three.identity)
    assert three.planned() == []
    fleet.anna.client.post("devices", "line3", "revoke")
    assert fleet.broker.write()
    fleet.broker.read_again()
    with pytest.raises(IdentityError, match="line3 is shut out"):
        three.planned()
    with pytest.raises(IdentityError, match="line3 is shut out"):
        renew(three.identity)
    assert "CERTIFICATE_REVOKED" in why_not(three.broker)
    assert why_not(two.broker) == ""
    assert [did["who"] for did in fleet.anna.client.get("audit") if did["what"] == "device revoked"] == ["anna"]
