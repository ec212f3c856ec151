"""Clients that are not ours believe what we publish: here python-tuf's own, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from release_keys import Keys
from released import publish_three, replace_every_key
from static_server import serving
from tuf.ngclient import Updater

from edgemill_core.durable import sha256_file
from edgemill_fleet.releases.repository import Repository
from edgemill_link.trust.blobs import blob_path


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture
def repository(tmp_path: Path, keys: Keys) -> Repository:
    return publish_three(tmp_path / "releases", keys)


def ask(url: str, home: Path, root: bytes) -> Updater:
    home.mkdir(exist_ok=True)
    updater = Updater(
        metadata_dir=str(home),
        metadata_base_url=f"{url}/metadata/",
        target_dir=str(home),
        target_base_url=f"{url}/targets/",
        bootstrap=root,
    )
    updater.refresh()
    return updater


def test_python_tuf_finds_and_fetches_what_is_released(repository: Repository, tmp_path: Path, keys: Keys) -> None:
    root = repository.root_bytes()
    with serving(repository.folder) as url:
        for _ in range(2):
            updater = ask(url, tmp_path / "home", root)
            target = updater.get_targetinfo("b/1.2.0/manifest.json")
            assert target is not None
            assert updater.get_targetinfo("b/1.1.0/manifest.json") is None, "withdrawn"
            file = Path(updater.download_target(target, str(tmp_path / "manifest.json")))
            manifest = json.loads(file.read_bytes())
            assert (manifest["name"], manifest["version"]) == ("b", "1.2.0")
            keys = replace_every_key(repository, keys)  # and so it finds it from the same home once more
    for entry in {**manifest["files"], **manifest["records"]}.values():
        blob = repository.folder / "blobs" / blob_path(entry["sha256"])
        assert (sha256_file(blob), blob.stat().st_size) == (entry["sha256"], entry["bytes"])
    assert json.loads((tmp_path / "home" / "root.json").read_bytes())["signed"]["version"] == 2
    with serving(repository.folder) as url:
        ask(url, tmp_path / "home", root)
    assert json.loads((tmp_path / "home" / "root.json").read_bytes())["signed"]["version"] == 3
