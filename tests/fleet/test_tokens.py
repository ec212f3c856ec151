"""Release keys in a PKCS#11 token: a real one in software, by the real command, and a box that believes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from release_keys import look
from small_bundle import make_bundle
from soft_token import KEYID, PIN, soft_token
from typer.testing import CliRunner

from edgemill.cli.app import app
from edgemill_core.errors import InputError
from edgemill_link.trust.store import TrustStore


def told(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in ("release", *words)])


def done(*words: object) -> Any:
    found = told(*words, "--json")
    assert found.exit_code == 0, (found.output, found.exception)
    return json.loads(found.stdout)


def test_what_a_token_signs_a_box_believes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soft_token(tmp_path / "vault", monkeypatch)
    keys, repo = tmp_path / "keys", tmp_path / "releases"
    made = done("key", keys / "release", "--token", KEYID)
    assert made["private"] is None
    written = json.loads((keys / "release.key.json").read_bytes())
    assert (written["signer"], written["public"]["scheme"]) == ("hsm:2?label=vault", "ecdsa-sha2-nistp256")
    for role in ("root", "online", "plan"):
        done("key", keys / role)
    roles = [word for role in ("root", "release", "online", "plan") for word in (f"--{role}", keys / role)]
    monkeypatch.setenv("EDGEMILL_PIN", PIN)
    done("init", repo, *roles, "--threshold", "1")
    make_bundle(tmp_path / "made", {"golden/x.npy": b"1"}, version="1.0.0")
    bundle, signers = tmp_path / "made" / "b-1.0.0", ("--key", keys / "release", "--key", keys / "online")
    done("publish", repo, bundle, *signers)
    store = TrustStore(tmp_path / "trust")
    store.begin((repo / "metadata" / "1.root.json").read_bytes())
    trusted = look(repo, store)
    assert [path.rpartition("/")[2] for path in trusted.releases()] == ["manifest.json"]
    assert trusted.roles["targets"].get_delegated_role("releases").keyids == [made["keyid"]]

    monkeypatch.setenv("EDGEMILL_PIN", "000000")
    make_bundle(tmp_path / "made-2", {"golden/x.npy": b"2"}, version="1.1.0")
    before = {path: path.read_bytes() for path in (repo / "metadata").iterdir()}
    found = told("publish", repo, tmp_path / "made-2" / "b-1.0.0", *signers)
    assert isinstance(found.exception, InputError), found.exception
    assert "the token does not sign" in str(found.exception)
    assert "PIN" in str(found.exception.fix)
    assert {path: path.read_bytes() for path in (repo / "metadata").iterdir()} == before
    planned = told("plan", repo, "box-1", "b/1.0.0", "--key", keys / "plan")
    assert planned.exit_code == 0, planned.output  # a key that is a file is none of the token's business
    assert "no key 7 in a token" in str(told("key", keys / "other", "--token", 7).exception)
