"""``edgemill agent backup``, ``restore`` and ``import``, by the real command line."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from edgemill.cli import backup as command
from edgemill.cli.app import app
from edgemill_agent.backup import sealing
from edgemill_agent.clock import Clock
from edgemill_agent.ledger import LedgerView, open_ledger
from edgemill_core.errors import InputError

WORDS = "correct horse battery staple"
YAML = (
    "device: {id: box-1}\nfleet: {trust: root.json}\nstations: [{name: s, bundle: 'release:t', source: {folder: p}}]\n"
)


def told(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in ("agent", *words)])


def done(*words: object) -> Any:
    found = told(*words, "--json")
    assert found.exit_code == 0, (found.output, found.exception)
    return json.loads(found.stdout)


def complaint(*words: object) -> str:
    found = told(*words)
    assert isinstance(found.exception, InputError), (found.output, found.exception)
    assert all((found.exception.expected, found.exception.got, found.exception.fix))
    return str(found.exception)


@pytest.fixture
def yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "stand_back", lambda _: None)  # the tests that follow have work to do
    monkeypatch.setattr(sealing, "_cipher", lru_cache(sealing._cipher))  # scrypt takes its time
    monkeypatch.delenv("EDGEMILL_PASSPHRASE", raising=False)
    (tmp_path / "agent.yaml").write_text(YAML)
    (tmp_path / "root.json").write_text("{}")
    open_ledger(tmp_path / "state", Clock())[0].close()
    return tmp_path / "agent.yaml"


def test_there_and_back(yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "b"
    (tmp_path / "words").write_text(f"{WORDS}\n")
    made = done("backup", yaml, file, "--passphrase-file", tmp_path / "words")
    assert (made["encrypted"], made["bundles"], made["bytes"]) == (True, False, file.stat().st_size)
    monkeypatch.setenv("EDGEMILL_PASSPHRASE", WORDS)
    put = done("restore", file, "--into", tmp_path / "new")
    assert (put["device"], put["aside"], put["state"]) == ("box-1", None, str(tmp_path / "new"))
    assert LedgerView.open(tmp_path / "new").verify() is None
    stats = CliRunner().invoke(app, ["ledger", "stats", str(tmp_path / "new"), "--json"])
    assert json.loads(stats.stdout)["restored_behind"] == [0]
    assert "restored behind record 0" in CliRunner().invoke(app, ["ledger", "stats", str(tmp_path / "new")]).stdout
    assert "not empty" in complaint("restore", file, yaml)
    said = told("restore", file, yaml, "--replace", "--numbers-from", 5_000)
    assert said.exit_code == 0
    for words in ("numbers go on from 5000", "lies in", "edgemill agent update"):
        assert words in said.stdout
    with monkeypatch.context() as patch:
        patch.setenv("EDGEMILL_PASSPHRASE", "something else altogether")
        assert "cannot be read" in complaint("restore", file, "--into", tmp_path / "other")
    assert f"0-root.json  was {tmp_path / 'root.json'}" in told("restore", file, "--into", tmp_path / "third").stdout


def test_a_plain_one_says_that_it_is(yaml: Path, tmp_path: Path) -> None:
    said = told("backup", yaml, tmp_path / "b", "--plain", "--bundles")
    assert "NOT encrypted" in said.stdout
    (tmp_path / "words").write_text(WORDS)
    into = ("restore", tmp_path / "b", "--into", tmp_path / "new")
    assert "no passphrase" in complaint(*into)
    assert "not encrypted" in complaint(*into, "--passphrase-file", tmp_path / "words")
    assert done(*into, "--plain")["bundles"]


def test_whoever_says_too_little_is_asked_for_it(yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no passphrase" in complaint("backup", yaml, tmp_path / "b")
    assert "no passphrase" in complaint("backup", yaml, tmp_path / "b", "--passphrase-file", tmp_path / "none")
    assert "where the backup goes" in complaint("restore", tmp_path / "b")
    assert "where the backup goes" in complaint("restore", tmp_path / "b", yaml, "--into", tmp_path / "new")
    answers = iter([WORDS, "mistyped it"])
    monkeypatch.setattr(command.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(command.getpass, "getpass", lambda _: next(answers))
    with pytest.raises(InputError, match="no passphrase"):
        command._passphrase(None, twice=True)
    answers = iter([WORDS])
    assert command._passphrase(None, twice=False) == WORDS
    assert not (tmp_path / "b").exists()


def test_import_is_an_update_from_a_stick(yaml: Path, tmp_path: Path) -> None:
    ways = (("import", tmp_path / "stick", yaml), ("update", yaml, "--from", tmp_path / "stick"))
    one, other = (str(told(*words).exception) for words in ways)
    assert one == other
    assert "root" in one
