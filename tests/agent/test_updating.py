"""Updates from end to end: a signed folder, a real agent, a bundle that is broken on purpose, and kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dying_command
import numpy as np
import onnx
import pytest
from agent_box import Box, wait_until
from dying_command import FETCHING
from onnx import numpy_helper
from other_bundles import reads_otherwise
from release_keys import Keys
from static_server import serving

from edgemill_agent.evidence_list import list_evidence
from edgemill_agent.ledger import LedgerView
from edgemill_agent.settings import read_settings
from edgemill_agent.updating.slots import Slots, read_slots, write_slots
from edgemill_agent.updating.starting import count_start
from edgemill_core.bundle import Bundle, describe_files, open_bundle, write_bundle
from edgemill_core.ledger import Kind
from edgemill_fleet.releases.publishing import publish
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.plan import Plan, PlannedRelease, sign_plan

Command = Callable[..., subprocess.CompletedProcess[str]]


def shift_scales(graph: Path) -> None:
    """What a pixel is multiplied by, a tenth of it."""
    model = onnx.load(graph, load_external_data=False)
    (scale,) = [one for one in model.graph.initializer if one.name == "edgemill_scale"]
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(0.1), scale.name))
    onnx.save(model, graph)


class Plant:
    """A folder of releases, and a box that follows it."""

    def __init__(self, box: Box, folder: Path, command: Command) -> None:
        self.box, self.folder, self.keys, self._command = box, folder / "releases", Keys(), command
        self.bundle = open_bundle(Path(box.settings["stations"][0]["bundle"]))
        Repository.create(self.folder, self.keys.roles, self.keys.all)
        (folder / "root.json").write_bytes((self.folder / "metadata" / "1.root.json").read_bytes())
        box.settings["fleet"] = {"trust": "root.json"}
        box.settings["stations"][0]["bundle"] = "release:tiny"
        box.settings["stations"][0]["swap"] = {"trial_parts": 20}
        self._planned = 0

    def release(self, version: str, broken: bool = False, otherwise: bool = False) -> Bundle:
        """The bundle under another version; of a broken one the scales are shifted, and every digest is right.

        Args:
            otherwise: it is whole, and reads other letters.
        """
        place, bundle = self.folder.parent / f"copy-{version}", self.bundle
        if otherwise:
            bundle = reads_otherwise(bundle, self.folder.parent / "otherwise", version)
        shutil.copytree(bundle.folder, place)
        (place / "report.html").write_text(f"of {version}")
        records = {**bundle.manifest.records, **describe_files(place, ["report.html"])}
        manifest = bundle.manifest.model_copy(update={"version": version, "records": records})
        if broken:
            (model,) = manifest.models
            files = dict(manifest.files)
            for variant in model.variants:
                shift_scales(place / variant.graph)
                files |= describe_files(place, [variant.graph])
            manifest = manifest.model_copy(update={"files": files})
        bundle = write_bundle(place, manifest, self.folder.parent / f"tiny-{version}")
        publish(Repository(self.folder), bundle, self.keys.all)
        self._plan(version)
        return bundle

    def _plan(self, version: str) -> None:
        self._planned += 1
        listed = Repository(self.folder).releases()[f"tiny/{version}/manifest.json"]
        one = PlannedRelease(name="tiny", version=version, manifest=listed.hashes["sha256"])
        until = datetime.now(timezone.utc) + timedelta(days=7)
        plan = Plan(device="box-1", version=self._planned, expires=until, releases=(one,))
        (self.folder / "plans").mkdir(exist_ok=True)
        (self.folder / "plans" / "box-1.json").write_bytes(sign_plan(plan, [self.keys.plans]))

    def update(self, *more: str) -> tuple[int, dict[str, Any]]:
        done = self._command("agent", "update", self.box.write(), "--from", self.folder, "--json", *more)
        return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}

    @property
    def slots(self) -> Slots:
        return read_slots(self.box.state, "tiny")

    def told(self, kind: Kind) -> list[dict[str, Any]]:
        view = LedgerView.open(self.box.state)
        try:
            return [one.payload.content() for one in view.records() if one.header.kind is kind and one.payload]
        finally:
            view.close()


@pytest.fixture
def plant(box: Box, tmp_path: Path, edgemill_command: Command) -> Plant:
    return Plant(box, tmp_path, edgemill_command)


def going(plant: Plant) -> subprocess.Popen[str]:
    source = plant.box.settings["stations"][0]["source"]
    source["once"], source["loop"] = False, True
    agent = plant.box.start()
    wait_until(lambda: plant.box.recorded() > 20, "verdicts")
    return agent


def test_a_newer_release_takes_over_while_parts_are_judged(plant: Plant) -> None:
    plant.release("1.0.1")
    assert plant.update()[0] == 0
    agent = going(plant)
    plant.release("1.1.0")
    code, told = plant.update()
    assert (code, told["updates"]["tiny"]["state"]) == (0, "committed"), told
    assert plant.slots.active is not None
    assert plant.slots.previous is not None
    assert (plant.slots.active.version, plant.slots.previous.version) == ("1.1.0", "1.0.1")
    wait_until(lambda: len(plant.told(Kind.UPDATE)) == 3, "the ledger to hear of it")
    agent.send_signal(signal.SIGTERM)
    account = plant.box.end(agent)["stations"]["cell"]
    assert account["late"] == account["safe"] == 0
    assert [one["state"] for one in plant.told(Kind.UPDATE)] == ["committed", "trial", "committed"]
    assert plant.update()[1]["updates"]["tiny"]["state"] == "committed"  # nothing more to do


def test_an_agent_starts_on_the_first_release_proves_it_anew_on_another_box_and_follows_its_plan(
    plant: Plant, edgemill_command: Command
) -> None:
    done = edgemill_command("agent", "run", plant.box.write())
    assert done.returncode == 2
    assert "nothing of the release tiny is installed" in done.stderr
    plant.release("1.0.1")
    code, first = plant.update()
    assert (code, first["updates"]["tiny"]["state"]) == (0, "committed"), first
    before = plant.slots.active
    assert before is not None
    elsewhere = before.model_copy(update={"proved_on": {**before.proved_on, "driver": "1.2.3"}})
    write_slots(plant.box.state, "tiny", plant.slots.with_active(elsewhere))
    with serving(plant.folder) as url:
        plant.box.settings["fleet"] = {"trust": "root.json", "url": url, "every": "1s"}
        agent = going(plant)
        wait_until(lambda: len(plant.told(Kind.UPDATE)) == 2, "the new proof")
        plant.release("1.1.0")
        wait_until(lambda: len(plant.told(Kind.UPDATE)) == 4, "the ledger to hear of the update")
        assert plant.slots.active is not None
        assert (plant.slots.active.version, plant.slots.trial) == ("1.1.0", None)
    agent.send_signal(signal.SIGTERM)
    account = plant.box.end(agent)["stations"]["cell"]
    assert account["late"] == account["safe"] == 0
    told = plant.told(Kind.UPDATE)
    assert [one["state"] for one in told] == ["committed", "proved again", "trial", "committed"]
    assert "driver: 1.2.3, now " in told[1]["why"]
    assert [start["version"] for start in plant.told(Kind.START)] == ["1.0.1", "1.1.0"]


def test_a_bundle_that_was_broken_on_purpose_is_refused_and_not_tried_again(plant: Plant) -> None:
    plant.release("1.0.1")
    plant.update()
    agent = going(plant)
    plant.release("1.1.0", broken=True)
    code, told = plant.update()
    assert code == 1
    assert told["updates"]["tiny"]["state"] == "refused"
    assert "decide here" in told["updates"]["tiny"]["why"]
    assert plant.slots.trial is None
    assert plant.slots.active is not None
    assert plant.slots.active.version == "1.0.1"
    wait_until(lambda: plant.told(Kind.UPDATE)[-1]["state"] == "refused", "the ledger to hear of it")
    why = plant.told(Kind.UPDATE)[-1]["why"]
    assert why.startswith("onnxruntime: it does not decide here as it did on the bench")
    assert "golden samples decided otherwise, of which 0 may" in why
    assert plant.update()[1]["updates"]["tiny"] == told["updates"]["tiny"]
    agent.send_signal(signal.SIGTERM)
    plant.box.end(agent)
    assert {start["version"] for start in plant.told(Kind.START)} == {"1.0.1"}
    plant.release("1.1.1")
    assert plant.update()[1]["updates"]["tiny"]["state"] == "trial"


def test_one_on_trial_that_dies_is_rolled_back(plant: Plant) -> None:
    plant.box.settings["stations"][0]["swap"] = {"trial_parts": 1_000_000}
    plant.release("1.0.1")
    plant.update()
    agent = going(plant)
    plant.release("1.1.0")
    code, told = plant.update("--wait", "0")
    assert (code, told["updates"]["tiny"]["state"]) == (0, "trial")
    wait_until(lambda: "took over" in [one["outcome"] for one in plant.told(Kind.SWAP)], "it to judge")
    plant.box.kill("cell/engine")
    wait_until(lambda: "fell back" in [one["outcome"] for one in plant.told(Kind.SWAP)], "the one before")
    code, told = plant.update()
    assert code == 1
    assert told["updates"]["tiny"]["state"] == "rolled back"
    assert "it ended" in told["updates"]["tiny"]["why"]
    agent.send_signal(signal.SIGTERM)
    account = plant.box.end(agent)["stations"]["cell"]
    assert account["safe"] == 0
    assert plant.slots.active is not None
    assert (plant.slots.active.version, plant.slots.trial) == ("1.0.1", None)


def test_an_agent_that_was_killed_in_a_trial_starts_on_what_worked_and_tries_again(plant: Plant) -> None:
    plant.box.settings["stations"][0]["swap"] = {"trial_parts": 1_000_000, "trial_minutes": 0.005}
    plant.release("1.0.1")
    plant.update()
    plant.release("1.1.0")
    assert plant.update()[1]["updates"]["tiny"]["state"] == "trial"  # no agent runs: it waits
    agent = going(plant)
    wait_until(lambda: "committed" in [one["outcome"] for one in plant.told(Kind.SWAP)], "the trial's end")
    assert "its time is up" in plant.told(Kind.SWAP)[-1]["why"]
    assert [start["version"] for start in plant.told(Kind.START)][:2] == ["1.0.1", "1.1.0"]
    agent.kill()
    agent.wait()
    assert plant.slots.trial is not None  # nobody has settled it: the ledger says it
    before = plant.box.recorded()
    again = plant.box.start()
    wait_until(lambda: plant.box.recorded() > before, "verdicts")
    assert plant.slots.trial is None
    again.send_signal(signal.SIGTERM)
    plant.box.end(again)
    assert plant.slots.active is not None
    assert plant.slots.active.version == "1.1.0"
    assert plant.told(Kind.START)[-1]["version"] == "1.1.0"


def test_a_trial_in_which_the_agent_is_started_again_and_again_is_given_up(plant: Plant) -> None:
    plant.box.settings["stations"][0]["swap"] = {"trial_parts": 1_000_000}
    plant.release("1.0.1")
    plant.update()
    plant.release("1.1.0")
    plant.update()
    for starts in range(1, 4):
        count_start(read_settings(plant.box.write(), "names"))
        assert plant.slots.starts == starts
    count_start(read_settings(plant.box.write(), "names"))
    assert plant.slots.trial is None
    code, told = plant.update()
    assert (code, told["updates"]["tiny"]["state"]) == (1, "rolled back")
    assert "started 3 times" in told["updates"]["tiny"]["why"]


def test_a_release_that_disagrees_never_judges_and_one_that_agrees_is_kept(plant: Plant) -> None:
    shadow = {"most_disagreement": 0.1, "stop_at": 0.5, "errors": 0.05}
    plant.box.settings["stations"][0]["swap"] = {"trial_parts": 20, "shadow": shadow}
    plant.release("1.0.1")
    assert plant.update()[0] == 0
    plant.release("1.1.0", otherwise=True)
    code, told = plant.update()  # no agent runs: it waits
    assert (code, told["updates"]["tiny"]["state"]) == (0, "shadowing"), told
    assert told["updates"]["tiny"]["shadowing"]["cell"]["most"] == 16
    agent = going(plant)
    wait_until(lambda: len(plant.told(Kind.SHADOW)) > 16, "it to see parts enough")
    assert plant.slots.shadow is not None, "nobody has looked what the ledger says"
    plant.release("1.2.0")
    code, told = plant.update()
    assert (code, told["updates"]["tiny"]["state"]) == (0, "committed"), told
    agent.send_signal(signal.SIGTERM)
    account = plant.box.end(agent)["stations"]["cell"]
    assert account["late"] == account["safe"] == 0
    assert {start["version"] for start in plant.told(Kind.START)} == {"1.0.1", "1.2.0"}
    said = [(one["version"], one["state"]) for one in plant.told(Kind.UPDATE)]
    begun = [("1.0.1", "committed"), ("1.1.0", "shadowing"), ("1.1.0", "refused")]
    assert said == [*begun, ("1.2.0", "shadowing"), ("1.2.0", "trial"), ("1.2.0", "committed")]
    disputed = [one["number"] for one in plant.told(Kind.SHADOW) if one["disputed"]]
    named = plant.told(Kind.UPDATE)[2]["why"].partition("(numbers ")[2].partition(";")[0].split(", ")
    assert [int(one) for one in named] == disputed[: len(named)]
    view = LedgerView.open(plant.box.state)
    assert [one.number for one in list_evidence(view) if one.state == "kept"] == disputed
    view.close()


FULL = bool(os.environ.get("EDGEMILL_EVERY_CUT"))
MOMENTS = ("planned", FETCHING, "verified", "staged", "proved", "trial")


def killed(plant: Plant, moment: str) -> None:
    """Begin an update, by a process that is killed then."""
    command = [sys.executable, dying_command.__file__, moment, "agent", "update", plant.box.write()]
    done = subprocess.run([*command, "--from", plant.folder], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.skipif(
    not FULL, reason="each takes seconds: the power cuts of test_power_cuts.py pass through all of them"
)
def test_an_update_that_is_killed_in_any_state_goes_on_while_an_agent_judges(plant: Plant) -> None:
    plant.release("1.0.1")
    for moment in MOMENTS[:-1]:  # the first of all
        killed(plant, moment)
        assert plant.slots == Slots()
    assert plant.update()[1]["updates"]["tiny"]["state"] == "committed"
    agent = going(plant)
    told = ["committed"]
    for minor, moment in enumerate(MOMENTS, start=1):
        before = plant.slots.active
        plant.release(f"1.{minor}.0")
        killed(plant, moment)
        assert plant.slots.active == before
        assert agent.poll() is None
        code, said = plant.update()
        assert (code, said["updates"]["tiny"]["state"]) == (0, "committed"), (moment, said)
        assert plant.slots.active is not None
        assert (plant.slots.active.version, plant.slots.trial) == (f"1.{minor}.0", None)
        told += ["trial", "committed"]
    wait_until(lambda: len(plant.told(Kind.UPDATE)) == len(told), "the ledger to hear of all")
    agent.send_signal(signal.SIGTERM)
    account = plant.box.end(agent)["stations"]["cell"]
    assert account["late"] == account["safe"] == 0
    assert [one["state"] for one in plant.told(Kind.UPDATE)] == told


@pytest.mark.skipif(
    not FULL, reason="each takes seconds: the power cuts of test_power_cuts.py pass through all of them"
)
@pytest.mark.parametrize("moment", ["staged", "trial"])
def test_an_agent_and_an_update_that_are_killed_together_go_on(plant: Plant, moment: str) -> None:
    plant.release("1.0.1")
    plant.update()
    agent = going(plant)
    plant.release("1.1.0")
    killed(plant, moment)
    agent.kill()
    agent.wait()
    before = plant.box.recorded()
    again = plant.box.start()
    wait_until(lambda: plant.box.recorded() > before, "verdicts")
    assert plant.told(Kind.START)[-1]["version"] in ("1.0.1", "1.1.0")
    assert (plant.update()[1]["updates"]["tiny"]["state"]) == "committed"
    wait_until(lambda: len(plant.told(Kind.UPDATE)) == 3, "the ledger to hear of all")
    again.send_signal(signal.SIGTERM)
    plant.box.end(again)
    assert [one["state"] for one in plant.told(Kind.UPDATE)] == ["committed", "trial", "committed"]
    view = LedgerView.open(plant.box.state)
    assert view.verify() is None
    view.close()
