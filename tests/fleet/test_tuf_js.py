"""Clients that are not ours believe what we publish: here npm's tuf-js, which shares no line with python-tuf.

``EDGEMILL_TUF_JS`` names a folder with ``node_modules/tuf-js`` in it; the test skips without one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from release_keys import Keys
from released import publish_three, replace_every_key
from static_server import serving

PROGRAM = """
const { Updater } = require('tuf-js');
const [url, home, path, file] = process.argv.slice(2);
(async () => {
  const updater = new Updater({
    metadataDir: home, metadataBaseUrl: `${url}/metadata`, targetDir: home, targetBaseUrl: `${url}/targets`,
  });
  await updater.refresh();
  const target = await updater.getTargetInfo(path);
  if (target) await updater.downloadTarget(target, file);
  console.log(JSON.stringify({ found: Boolean(target) }));
})().catch((error) => { console.error(error); process.exit(1); });
"""


TUF_JS = os.environ.get("EDGEMILL_TUF_JS", "")
if shutil.which("node") is None or not Path(TUF_JS, "node_modules", "tuf-js").is_dir():
    pytest.skip(
        "NOT SHOWN: that tuf-js believes us; it takes node, and EDGEMILL_TUF_JS with tuf-js in it",
        allow_module_level=True,
    )


def ask(url: str, home: Path, release: str) -> bool:
    file = home.parent / "manifest.json"
    file.unlink(missing_ok=True)
    done = subprocess.run(
        ["node", "-", url, str(home), f"{release}/manifest.json", str(file)],
        input=PROGRAM,
        cwd=TUF_JS,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: bool = json.loads(done.stdout)["found"]
    assert file.exists() is found
    return found and json.loads(file.read_bytes())["version"] == release.partition("/")[2]


def test_tuf_js_finds_and_fetches_what_is_released(tmp_path: Path) -> None:
    keys = Keys()
    repository = publish_three(tmp_path / "releases", keys)
    home = tmp_path / "home"
    home.mkdir()
    (home / "root.json").write_bytes(repository.root_bytes())
    with serving(repository.folder) as url:
        assert ask(url, home, "b/1.2.0")
        assert not ask(url, home, "b/1.1.0"), "withdrawn"
        for version in (2, 3):
            keys = replace_every_key(repository, keys)
            assert ask(url, home, "b/1.0.0")
            assert json.loads((home / "root.json").read_bytes())["signed"]["version"] == version
        (repository.folder / "metadata" / "timestamp.json").write_bytes(b"{}")
        with pytest.raises(AssertionError):
            ask(url, home, "b/1.0.0")
