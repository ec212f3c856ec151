"""``edgemill release``, from making keys to a stick, by the real command line."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from small_bundle import make_bundle
from typer.testing import CliRunner

from edgemill.cli.app import app
from edgemill_core.bundle.one_file import export_bundle
from edgemill_core.errors import InputError, TrustError
from edgemill_fleet.releases import keys as key_files
from edgemill_fleet.releases.repository import Repository

ROLES = ("root-a", "root-b", "root-c", "release", "online", "plan")


def told(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in ("release", *words)])


def done(*words: object) -> Result:
    found = told(*words)
    assert found.exit_code == 0, (found.output, found.exception)
    return found


def json_of(*words: object) -> Any:
    return json.loads(done(*words, "--json").stdout)


def complaint(*words: object) -> BaseException:
    found = told(*words)
    assert isinstance(found.exception, (InputError, TrustError)), (found.output, found.exception)
    assert all((found.exception.expected, found.exception.got, found.exception.fix))
    return found.exception


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, bundles, and a folder of releases with one of them: made by the command, too."""
    place = tmp_path_factory.mktemp("place")
    for role in ROLES:
        done("key", place / "keys" / role)
    done("init", place / "releases", *init_options(place), "--threshold", "2")
    for version in ("1.0.0", "1.1.0"):
        make_bundle(place / version, {"golden/x.npy": version.encode()}, version=version)
    done("publish", place / "releases", place / "1.0.0" / "b-1.0.0", *keys(place, "release", "online"))
    return place


def init_options(place: Path) -> list[object]:
    words: list[object] = []
    for role in ROLES:
        words += [f"--{role.partition('-')[0]}", place / "keys" / role]
    return words


def keys(place: Path, *names: str) -> list[object]:
    return [word for name in names for word in ("--key", place / "keys" / f"{name}.key.json")]


@pytest.fixture
def repo(place: Path, tmp_path: Path) -> Path:
    return shutil.copytree(place / "releases", tmp_path / "releases")


# --- key ---


def test_a_key_is_its_owners_alone(tmp_path: Path) -> None:
    made = json_of("key", tmp_path / "vault" / "root-a")
    assert Path(made["private"]).stat().st_mode & 0o777 == 0o600
    assert json.loads(Path(made["key"]).read_bytes())["keyid"] == made["keyid"]
    assert "PRIVATE" not in Path(made["key"]).read_text()
    before = Path(made["private"]).read_bytes()
    for words in ((), ("--token", "2")):
        assert "there is a key called root-a" in str(complaint("key", tmp_path / "vault" / "root-a", *words))
    assert Path(made["private"]).read_bytes() == before


def test_a_key_in_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from securesystemslib.signer import CryptoSigner

    public = CryptoSigner.generate_ecdsa().public_key
    monkeypatch.setattr(key_files.HSMSigner, "import_", lambda keyid: (f"hsm:{keyid}?label=YubiKey", public))
    made = json_of("key", tmp_path / "root-t", "--token", 2)
    assert made == {"key": str(tmp_path / "root-t.key.json"), "keyid": public.keyid, "private": None}
    assert json.loads((tmp_path / "root-t.key.json").read_bytes())["signer"] == "hsm:2?label=YubiKey"
    assert list(tmp_path.iterdir()) == [tmp_path / "root-t.key.json"]
    monkeypatch.undo()
    monkeypatch.setattr("securesystemslib.signer._hsm_signer.PKCS11_IMPORT_ERROR", "python-pkcs11 is not installed")
    assert "cannot sign" in str(complaint("sign", tmp_path, "--key", tmp_path / "root-t"))


def test_a_token_that_is_not_there(tmp_path: Path) -> None:
    assert "no key 2 in a token" in str(complaint("key", tmp_path / "t", "--token", 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keyid": "a", "public": 1}', '{"keyid": "a", "public": {}}'])
def test_what_is_no_key(repo: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "x.key.json").write_text(content)
    assert "is no key" in str(complaint("sign", repo, "--key", tmp_path / "x"))


def test_a_public_half_alone_names_but_does_not_sign(place: Path, repo: Path, tmp_path: Path) -> None:
    file = shutil.copy(place / "keys" / "online.key.json", tmp_path)
    assert "cannot sign" in str(complaint("sign", repo, "--key", file))


# --- init ---


def test_some_root_keys_may_stay_where_they_are(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "keys", tmp_path / "keys")
    for name in ("root-c", "plan"):
        (tmp_path / "keys" / f"{name}.pem").unlink()
    made = json_of("init", tmp_path / "new", *init_options(tmp_path), "--threshold", "2")
    assert Path(made["root"]).is_file()
    assert told("ls", tmp_path / "new").exit_code == 0
    (tmp_path / "keys" / "root-b.pem").unlink()
    said = complaint("init", tmp_path / "other", *init_options(tmp_path), "--threshold", "2")
    assert "root cannot be signed" in str(said)
    assert not (tmp_path / "other" / "metadata").exists()
    assert "not empty" in str(complaint("init", tmp_path / "new", *init_options(place)))


# --- publish, withdraw, plan ---


def test_a_bundle_in_a_folder_and_one_in_one_file(place: Path, repo: Path, tmp_path: Path) -> None:
    from edgemill_core.bundle import open_bundle

    export_bundle(open_bundle(place / "1.1.0" / "b-1.0.0"), tmp_path / "b.edgemill")
    first = json_of("publish", repo, place / "1.0.0" / "b-1.0.0", *keys(place, "release", "online"))
    assert (first["release"], first["new"], first["blobs_copied"]) == ("b/1.0.0", False, 0)
    second = json_of("publish", repo, tmp_path / "b.edgemill", *keys(place, "release", "online"))
    assert (second["release"], second["new"], second["blobs_copied"]) == ("b/1.1.0", True, 1)
    assert [one["version"] for one in json_of("ls", repo)["releases"]] == ["1.0.0", "1.1.0"]


def test_the_wrong_key_and_none(place: Path, repo: Path) -> None:
    bundle = place / "1.1.0" / "b-1.0.0"
    assert "releases cannot be signed" in str(complaint("publish", repo, bundle, *keys(place, "online", "plan")))
    assert "snapshot cannot be signed" in str(complaint("publish", repo, bundle, *keys(place, "release")))
    assert told("publish", repo, bundle).exit_code == 2


def test_withdrawn_and_still_planned_for(place: Path, repo: Path) -> None:
    done("plan", repo, "line3", "b/1.0.0", *keys(place, "plan"))
    found = done("withdraw", repo, "b/1.0.0", *keys(place, "release", "online")).stdout
    assert "still planned for line3" in found
    assert json_of("ls", repo)["withdrawn"] == ["b/1.0.0"]
    assert "is not released" in str(complaint("withdraw", repo, "b/1.0.0", *keys(place, "release", "online")))


def test_a_plan_for_a_week(place: Path, repo: Path) -> None:
    for version in (1, 2):
        made = json_of("plan", repo, "line3", "b/1.0.0", "--days", 7, *keys(place, "plan"))
        assert (made["device"], made["version"]) == ("line3", version)
        assert [(one["name"], one["version"]) for one in made["releases"]] == [("b", "1.0.0")]
    left = datetime.fromisoformat(made["expires"].replace("Z", "+00:00")) - datetime.now(timezone.utc)
    assert timedelta(days=6.9) < left < timedelta(days=7)
    assert json.loads(Path(made["plan"]).read_bytes())["signed"]["version"] == 2
    assert "no device is called so" in str(complaint("plan", repo, "../line3", "b/1.0.0", *keys(place, "plan")))


# --- sign, rotate, ls ---


def test_a_key_is_replaced_and_what_is_left_to_do_is_said(place: Path, repo: Path) -> None:
    done("plan", repo, "line3", "b/1.0.0", *keys(place, "plan"))
    for name in ("online-2", "plan-2"):
        if not (place / "keys" / f"{name}.pem").exists():
            done("key", place / "keys" / name)
    new = ["--online", place / "keys" / "online-2", "--plan", place / "keys" / "plan-2"]
    made = done("rotate", repo, *new, *keys(place, "root-a", "root-b"))
    assert "still to be signed by new keys: roles" in made.stderr
    assert "plans of line3" in made.stderr
    listed = told("ls", repo)
    assert listed.exit_code == 1
    assert "timestamp: to be signed by its new keys" in listed.stderr
    signed = json_of("sign", repo, *keys(place, "online-2", "plan-2"))
    assert signed == {
        "root": 2,
        "releases": ["b/1.0.0/manifest.json"],
        "still_to_sign": [],
        "plans_signed": ["line3"],
        "plans_still_to_sign": [],
    }
    assert told("ls", repo).exit_code == 0
    assert "has nothing to say here" in str(complaint("sign", repo, *keys(place, "online")))


@pytest.mark.parametrize(("days", "code", "says"), [(0, 0, ""), (20, 0, "expires soon"), (31, 1, "expired")])
def test_what_expires_is_said_before_and_after(
    place: Path, repo: Path, monkeypatch: pytest.MonkeyPatch, days: int, code: int, says: str
) -> None:
    now = datetime.now(timezone.utc) + timedelta(days=days)
    monkeypatch.setattr(Repository.__init__, "__defaults__", (now, None))
    found = told("ls", repo)
    assert found.exit_code == code
    assert says in found.stderr
    assert bool(says) is ("edgemill release sign REPO" in found.stderr)
    words = json.loads(told("ls", repo, "--json").stdout)
    assert {one["name"]: one["state"] for one in words["roles"]}["timestamp"] == (says or "good")
    assert told("ls", repo, "--json").exit_code == code
    copied = done("export", repo, repo.parent / "stick")
    assert ("timestamp: expired; no box begins" in copied.stderr) is (code == 1)


def test_a_folder_is_held_to_the_root_that_one_knows(place: Path, repo: Path, tmp_path: Path) -> None:
    known = shutil.copy(repo / "metadata" / "1.root.json", tmp_path / "root.json")
    done("ls", repo, "--trust", known)
    shutil.rmtree(repo)
    done("init", repo, *init_options(place))
    done("ls", repo)
    assert isinstance(complaint("ls", repo, "--trust", known), TrustError)
    assert "cannot be read" in str(complaint("ls", repo, "--trust", tmp_path / "nowhere"))


def test_what_is_no_folder_of_releases(tmp_path: Path, place: Path) -> None:
    for words in (("ls",), ("sign", *keys(place, "online")), ("export", tmp_path / "stick")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert "is no folder of releases" in str(complaint(words[0], tmp_path / "empty", *words[1:]))


# --- export, and the end of the real command ---


def test_a_stick(place: Path, repo: Path, tmp_path: Path) -> None:
    done("plan", repo, "line3", "b/1.0.0", *keys(place, "plan"))
    made = json_of("export", repo, tmp_path / "stick", "b/1.0.0")
    assert (made["releases"], made["plans"], made["plans_not_whole"]) == (["b/1.0.0"], ["line3"], [])
    assert made["copied"] == made["files"] == sum(path.is_file() for path in (tmp_path / "stick").rglob("*"))
    assert "0 of them copied now" in done("export", repo, tmp_path / "stick").stdout


def test_exit_codes_of_the_command(
    repo: Path, tmp_path: Path, edgemill_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    found = edgemill_command("release", "ls", tmp_path / "nowhere", "--json")
    assert found.returncode == 2
    assert json.loads(found.stdout)["what"].endswith("is no folder of releases")
    (repo / "metadata" / "2.releases.json").write_bytes(b"{}")
    found = edgemill_command("release", "ls", repo)
    assert found.returncode == 1
    assert "is not what its keys signed" in found.stderr
