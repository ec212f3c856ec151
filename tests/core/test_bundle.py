"""Bundles: nothing that was altered is opened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgemill_core.bundle import (
    GoldenEntry,
    GoldenInputs,
    Manifest,
    ModelEntry,
    VariantEntry,
    describe_files,
    open_bundle,
    write_bundle,
)
from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_core.errors import BundleError
from edgemill_core.picture_input import PictureInput

FILES = ("models/v/graph.onnx", "models/v/graph.weights", "golden/inputs.npy", "golden/v.npy", "golden/frame-0.png")
RECORDS = ("report.html",)
ALL = (*FILES, *RECORDS, "manifest.json", "manifest.sha256")


def make(folder: Path, report: str = "fast") -> Path:
    source = folder / "source"
    for name in FILES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(name.encode() * 3)
    np.save(source / "golden/inputs.npy", np.zeros((1, 2, 2, 3), np.uint8))
    (source / "report.html").write_text(report)
    golden = GoldenInputs(
        inputs="golden/inputs.npy", contexts=({},), reference=("pass",), frames=("golden/frame-0.png",), prepared=("0",)
    )
    variant = VariantEntry(
        name="v",
        runtime="onnxruntime",
        device="CPU",
        precision="fp32",
        graph=FILES[0],
        weights=FILES[1],
        golden=GoldenEntry(outputs="golden/v.npy", decisions=("pass",), tolerance=0.1),
    )
    manifest = Manifest(
        schema_version="1.0",
        min_agent="0.1.0",
        name="b",
        version="1.0.0",
        models=(
            ModelEntry(
                name="b",
                task={"name": "text-recognition", "alphabet": "AB"},
                input=PictureInput(size=(2, 2)),
                golden=golden,
                variants=(variant,),
            ),
        ),
        files=describe_files(source, list(FILES)),
        records=describe_files(source, list(RECORDS)),
    )
    write_bundle(source, manifest, folder / "b-1.0.0")
    return folder / "b-1.0.0"


def reseal(bundle: Path, change: dict[str, object]) -> None:
    """What an attacker without a key can do: change the manifest and seal it anew."""
    raw = {**json.loads((bundle / "manifest.json").read_bytes()), **change}
    content = canonical_json(raw)
    (bundle / "manifest.json").write_bytes(content)
    (bundle / "manifest.sha256").write_text(sha256_bytes(content) + "\n")


def refused(bundle: Path, part: str) -> None:
    with pytest.raises(BundleError) as caught:
        open_bundle(bundle)
    error = caught.value
    assert part in str(error), str(error)
    assert error.exit_code == 2
    assert error.expected
    assert error.got
    assert error.fix


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    bundle = open_bundle(str(make(tmp_path)))
    assert bundle.model.name == "b"
    assert bundle.task.name == "text-recognition"
    assert bundle.path("report.html").read_text() == "fast"
    assert not (tmp_path / "source").exists()


def test_a_file_that_is_not_listed_is_not_handed_out(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="lists no file"):
        open_bundle(make(tmp_path)).path("manifest.json")


def test_writing_over_a_bundle_replaces_it(tmp_path: Path) -> None:
    make(tmp_path, "slow")
    bundle = open_bundle(make(tmp_path, "fast"))
    assert bundle.path("report.html").read_text() == "fast"
    assert [p.name for p in tmp_path.iterdir()] == ["b-1.0.0"]


def test_records_do_not_change_the_content_digest(tmp_path: Path) -> None:
    one, two = open_bundle(make(tmp_path / "1", "slow")), open_bundle(make(tmp_path / "2", "fast"))
    assert one.manifest.records != two.manifest.records
    assert one.manifest.content_digest == two.manifest.content_digest


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("place", [0, -1])
def test_one_flipped_bit_anywhere_is_found(tmp_path: Path, name: str, place: int) -> None:
    bundle = make(tmp_path)
    content = bytearray((bundle / name).read_bytes())
    # The last byte of the seal is its line end, which carries nothing.
    content[-2 if name == "manifest.sha256" and place == -1 else place] ^= 1
    (bundle / name).write_bytes(content)
    refused(bundle, "")


@pytest.mark.parametrize("name", ALL)
def test_a_missing_file_is_found(tmp_path: Path, name: str) -> None:
    bundle = make(tmp_path)
    (bundle / name).unlink()
    refused(bundle, "")


def test_a_file_cut_short_is_found(tmp_path: Path) -> None:
    bundle = make(tmp_path)
    (bundle / FILES[1]).write_bytes(b"mod")
    refused(bundle, "the size differs")


def test_a_file_too_many_is_found(tmp_path: Path) -> None:
    bundle = make(tmp_path)
    (bundle / "golden/extra.npy").write_bytes(b"")
    refused(bundle, "golden/extra.npy")


def test_a_link_is_refused_even_to_the_same_bytes(tmp_path: Path) -> None:
    bundle = make(tmp_path)
    (bundle / FILES[1]).rename(tmp_path / "weights")
    (bundle / FILES[1]).symlink_to(tmp_path / "weights")
    refused(bundle, "link")


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    refused(tmp_path / name, "no bundle at")


@pytest.mark.parametrize(("version", "todo"), [("2.0", "update Edgemill"), ("0.9", "rebuild"), ("17.1", "update")])
def test_another_major_version_is_refused(tmp_path: Path, version: str, todo: str) -> None:
    bundle = make(tmp_path)
    reseal(bundle, {"schema_version": version, "unheard_of": True})
    refused(bundle, todo)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"schema_version": "one"}', b"\xff\xfe", b'{"schema_version": "1.0"}']
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    bundle = make(tmp_path)
    (bundle / "manifest.json").write_bytes(content)
    refused(bundle, "manifest")


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../x", "a/..", "a\\b", "", ".", "./a", "a//b", "a\0b", "ａ/b", "a/‥/b", "C:x", "~/x"],
)
@pytest.mark.parametrize("table", ["files", "records"])
def test_no_file_name_leads_out_of_the_bundle(tmp_path: Path, name: str, table: str) -> None:
    bundle = make(tmp_path)
    (tmp_path / "x").write_bytes(b"secret")
    entry = {"sha256": sha256_bytes(b"secret"), "bytes": 6}
    raw = json.loads((bundle / "manifest.json").read_bytes())
    reseal(bundle, {table: {**raw[table], name: entry}})
    refused(bundle, "must stay inside the bundle")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"min_agent": "99.0.0"}, "newer Edgemill"),
        ({"records": {"report.html": {"sha256": "0" * 64, "bytes": 10**27}}}, "records.report.html.bytes"),
    ],
)
def test_what_this_edgemill_cannot_hold_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    bundle = make(tmp_path)
    reseal(bundle, change)
    with pytest.raises(BundleError, match=words):
        open_bundle(bundle)
