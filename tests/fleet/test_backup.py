"""A copy of a fleet takes its place."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from fleet_folder import BoxKey, make_fleet

from edgemill_core.errors import InputError, StoreError
from edgemill_fleet.backup import back_up
from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.settings import FleetFolder, ManagerSettings, open_folder
from edgemill_fleet.store.database import open_database
from edgemill_fleet.web.app import make_app
from edgemill_fleet.web.manager import Manager
from edgemill_link.enrolment import read_code


def test_a_copy_that_was_made_while_somebody_wrote_takes_its_place(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet")
    (tmp_path / "fleet" / "fleet.yaml").write_text("name: plant-a\n")
    code = read_code(fleet.done("operator", "POST", "/v1/enrolments", {"device": "line3"})["code"])
    body = {"secret": code.secret, "device": "line3", "csr": BoxKey().csr()}
    certificate = fleet.done("", "POST", "/v1/enrol", body)["certificate"]
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            fleet.done("operator", "PATCH", "/v1/devices/line3", {"site": "hall"})

    writer = threading.Thread(target=write)
    writer.start()
    made = back_up(fleet.manager.folder, tmp_path / "copy")
    over.set()
    writer.join()
    assert made.database
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "copy").rglob("*") if file.is_file()}
    assert modes["ca.key.pem"] == modes["fleet.db"] == 0o600
    shutil.rmtree(tmp_path / "fleet" / "keys")
    shutil.copytree(tmp_path / "fleet" / "releases", tmp_path / "copy" / "releases")
    folder = open_folder(tmp_path / "copy")
    manager = Manager(folder, open_database(folder.database_url), Authority.open(folder.path), fleet.clock)
    fleet.app = make_app(manager)
    assert fleet.done("viewer", "GET", "/v1/devices/line3")["standing"] == "enrolled"
    assert fleet.ask(f"box:{certificate}", "GET", "/releases/metadata/timestamp.json").status == 200


def test_no_copy_over_another(tmp_path: Path) -> None:
    folder = make_fleet(tmp_path / "fleet").manager.folder
    back_up(folder, tmp_path / "copy")
    with pytest.raises(InputError, match="there is something at"):
        back_up(folder, tmp_path / "copy")


def test_a_database_that_is_elsewhere(tmp_path: Path) -> None:
    folder = make_fleet(tmp_path / "fleet").manager.folder
    elsewhere = ManagerSettings(database="postgresql+psycopg://fleet@db/fleet")
    assert not back_up(FleetFolder(folder.path, elsewhere), tmp_path / "copy").database
    gone = ManagerSettings(database=f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(StoreError, match="cannot be copied"):
        back_up(FleetFolder(folder.path, gone), tmp_path / "other")
    assert not (tmp_path / "other").exists()
