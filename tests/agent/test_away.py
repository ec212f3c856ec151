"""A real agent that was cut off for ninety days, or whose clock stands at 1970, and what it is told when it is back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from agent_box import Box, wait_until
from other_times import days_since_1970, environment
from release_keys import Keys

from edgemill_agent.ledger import LedgerView
from edgemill_agent.updating.slots import read_slots
from edgemill_core.bundle import open_bundle, write_bundle
from edgemill_core.ledger import Kind
from edgemill_fleet.releases.planning import make_plan
from edgemill_fleet.releases.publishing import publish
from edgemill_fleet.releases.repository import Repository

pytestmark = pytest.mark.skipif(
    not os.environ.get("EDGEMILL_EVERY_CUT"), reason="agents take seconds: with EDGEMILL_EVERY_CUT=1, as in .ci/run"
)


class Away:
    """Releases, and a box that runs the first one."""

    def __init__(self, box: Box, folder: Path) -> None:
        self.box, self.folder, self.keys, self.turn = box, folder / "releases", Keys(), 0
        self.bundle = open_bundle(Path(box.settings["stations"][0]["bundle"]))
        Repository.create(self.folder, self.keys.roles, self.keys.all)
        shutil.copy(self.folder / "metadata" / "1.root.json", folder / "root.json")
        box.settings["fleet"] = {"trust": "root.json"}
        box.settings["stations"][0]["bundle"] = "release:tiny"
        self.release("1.0.1")

    def release(self, version: str, days: float = 0, **changed: Any) -> None:
        """As the fleet's people do on that day."""
        then = datetime.now(timezone.utc) + timedelta(days=days)
        manifest = self.bundle.manifest.model_copy(update={"version": version, **changed})
        copy = shutil.copytree(self.bundle.folder, self.folder.parent / f"copy-{version}")
        bundle = write_bundle(copy, manifest, self.folder.parent / f"tiny-{version}")
        repository = Repository(self.folder, then)
        publish(repository, bundle, self.keys.all)
        repository.sign_again(self.keys.all)
        make_plan(repository, "box-1", [f"tiny/{version}"], self.keys.all)

    def say(self, days: float, *words: str) -> tuple[int, dict[str, Any]]:
        """The command, on a box whose clock says that it is that day."""
        command = [sys.executable, "-m", "edgemill", "agent", *words, "--json"]
        other = environment(self.folder.parent / "other time", days)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=other)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def update(self, days: float, place: Path | None = None) -> tuple[int, dict[str, Any]]:
        return self.say(days, "import", str(place or self.folder), str(self.box.write()))

    def judges(self, days: float) -> None:
        """An agent that is started on that day gives a verdict on every new part, and none is the safe one."""
        before = self.box.recorded()
        self._more_parts()
        code, account = self.say(days, "run", str(self.box.write()))
        assert code == 0
        assert account["stations"]["cell"]["safe"] == 0
        assert self.box.recorded() >= before + 30
        recorded = [one.header.utc_ns / 86_400e9 for one in self.box.verdicts()[-1:]]
        assert recorded == [pytest.approx(days_since_1970() + days, abs=0.1)]
        view = LedgerView.open(self.box.state)
        assert view.verify() is None
        view.close()

    def _more_parts(self) -> None:
        """Behind those that were judged, by their names."""
        self.turn += 1
        pictures = self.box.folder / "pictures"
        header, *lines = (pictures / "labels.csv").read_text().splitlines()
        for line in lines[:30]:
            name, rest = line.split(",", 1)
            os.link(pictures / name, pictures / f"t{self.turn}-{name}")
            lines.append(f"t{self.turn}-{name},{rest}")
        (pictures / "labels.csv").write_text("\n".join([header, *lines]) + "\n")

    def told(self, kind: Kind) -> list[dict[str, Any]]:
        view = LedgerView.open(self.box.state)
        try:
            return [one.payload.content() for one in view.of_kind(kind) if one.payload]
        finally:
            view.close()

    @property
    def active(self) -> str:
        slots = read_slots(self.box.state, "tiny")
        assert slots.active is not None
        return slots.active.version


@pytest.fixture
def away(box: Box, tmp_path: Path) -> Away:
    return Away(box, tmp_path)


def test_ninety_days_off_and_a_clock_at_1970(away: Away) -> None:
    at_1970 = -days_since_1970() + 1
    assert away.update(at_1970)[0] == 0  # what is signed says what time it is
    away.judges(at_1970)
    day_zero = away.folder.parent / "stick of day 0"
    shutil.copytree(away.folder, day_zero)
    code, said = away.update(90)
    assert (code, said["error"]) == (1, "Refused")
    assert "expired on" in said["got"]
    assert away.active == "1.0.1"
    away.judges(90)

    away.release("1.1.0", days=90)
    code, said = away.update(at_1970)  # back, with a battery that is empty
    assert (code, said["updates"]["tiny"]["state"]) == (0, "trial"), said
    away.judges(at_1970)
    code, said = away.update(at_1970, day_zero)  # all of it was in order on day 0
    assert (code, said["error"]) == (1, "Refused")
    assert "or newer" in said["expected"]


def test_a_bundle_for_a_newer_agent_is_refused_and_that_is_in_the_ledger(away: Away) -> None:
    assert away.update(0)[0] == 0
    away.release("1.1.0", min_agent="99.0.0")
    code, said = away.update(0)
    assert (code, said["updates"]["tiny"]["state"]) == (1, "refused"), said
    assert "newer Edgemill" in said["updates"]["tiny"]["why"]
    away.judges(0)
    assert [one["state"] for one in away.told(Kind.UPDATE)] == ["committed", "refused"]
    assert "99.0.0" in away.told(Kind.UPDATE)[-1]["why"]
    assert {one["version"] for one in away.told(Kind.START)} == {"1.0.1"}


def test_a_box_that_burned_is_replaced_by_its_backup(away: Away) -> None:
    assert away.update(0)[0] == 0
    away.judges(0)
    source = away.box.settings["stations"][0]["source"]
    source["once"], source["loop"] = False, True
    agent = away.box.start()
    before = away.box.recorded()
    wait_until(lambda: away.box.recorded() > before + 20, "verdicts")
    words = away.folder.parent / "words"
    words.write_text("correct horse battery staple\n")
    file, yaml = str(away.folder.parent / "box.backup"), str(away.box.write())
    code, said = away.say(0, "backup", yaml, file, "--passphrase-file", str(words))
    assert (code, said["encrypted"], said["bundles"]) == (0, True, False)
    behind = away.box.recorded()
    wait_until(lambda: away.box.recorded() > behind + 20, "verdicts that no backup has")
    code, said = away.say(0, "restore", file, yaml, "--replace", "--passphrase-file", str(words))
    assert (code, said["what"]) == (2, f"another agent writes the ledger in {away.box.state}")
    agent.kill()
    agent.wait()
    lost = {one.header.number for one in away.box.verdicts()}
    away.box.clear()
    shutil.rmtree(away.box.state)

    code, said = away.say(0, "restore", file, yaml, "--passphrase-file", str(words))
    assert code == 0, said
    assert away.say(0, "run", yaml)[1]["what"] == "station cell: nothing of the release tiny is installed"
    code, told = away.update(0)
    assert (code, told["updates"]["tiny"]["state"]) == (0, "committed"), told
    source["once"], source["loop"] = True, False
    away.judges(0)
    numbers = [one.header.number for one in away.box.verdicts()]
    new = [number for number in numbers if number >= said["numbers_from"]]
    assert len(new) >= 30
    assert not lost.intersection(new)
    assert set(numbers) - set(new) < lost
