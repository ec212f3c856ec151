"""A bundle in one file: equal for equal bundles, whole or refused, and never anything outside its folder."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_bundle import make_bundle

from edgemill_core.bundle import Bundle, export_bundle, import_bundle, open_bundle, opened_bundle
from edgemill_core.bundle.manifest import FileEntry
from edgemill_core.bundle.one_file import is_one_file, read_manifest, unpack
from edgemill_core.bundle.store import MANIFEST, SEAL
from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_core.errors import BundleError, EdgemillError, InputError

SIZES = [0, 1, 511, 512, 513, 3000, 1 << 20]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("made"), {f"golden/{size}.bin": os.urandom(size) for size in SIZES})


@pytest.fixture(scope="module")
def one(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("one") / "b.edgemill"
    export_bundle(bundle, file)
    return file


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("small")
    export_bundle(make_bundle(folder, {}), folder / "b.edgemill")
    return (folder / "b.edgemill").read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(content: bytes, folder: Path) -> str:
    """The message; nothing is left behind, in the folder or beside it."""
    file = folder / "bad.edgemill"
    file.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        import_bundle(file, folder / "out")
    assert not (folder / "out").exists() or not list((folder / "out").iterdir())
    assert {path.name for path in folder.iterdir()} <= {"bad.edgemill", "out"}
    assert caught.value.fix
    return str(caught.value)


def test_what_goes_in_comes_out(bundle: Bundle, one: Path, tmp_path: Path) -> None:
    back = import_bundle(one, tmp_path)
    assert back.folder == tmp_path / "b-1.0.0"
    assert contents(back.folder) == contents(bundle.folder)
    assert open_bundle(back.folder).manifest == bundle.manifest
    assert read_manifest(one) == bundle.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["b-1.0.0"]


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.from_regex(r"golden/[a-z0-9]{1,8}\.npy|models/[a-z]{1,120}/[a-z]{1,90}", fullmatch=True),
        st.binary(max_size=1200),
        max_size=5,
    )
)
def test_any_bundle_makes_the_round_trip_and_gives_the_same_file_twice(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    made = make_bundle(folder / "a", files)
    export_bundle(made, folder / "1.edgemill")
    again = import_bundle(folder / "1.edgemill", folder / "b")
    export_bundle(again, folder / "2.edgemill")
    assert contents(again.folder) == contents(made.folder)
    assert (folder / "1.edgemill").read_bytes() == (folder / "2.edgemill").read_bytes()


def test_equal_bundles_give_equal_files_whatever_their_times_and_rights(
    bundle: Bundle, one: Path, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(bundle.folder, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    export_bundle(open_bundle(tmp_path / "copy"), tmp_path / "two.edgemill")
    assert (tmp_path / "two.edgemill").read_bytes() == one.read_bytes()
    assert (tmp_path / "two.edgemill").stat().st_mode & 0o777 == 0o644


def test_tar_reads_it(bundle: Bundle, one: Path, tmp_path: Path) -> None:
    done = subprocess.run(["tar", "-xf", one, "-C", tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(tmp_path) == contents(bundle.folder)


def test_the_manifest_comes_first_and_the_rest_by_name(one: Path) -> None:
    with tarfile.open(one) as tar:
        names = tar.getnames()
    assert names[:2] == [MANIFEST, SEAL]
    assert names[2:] == sorted(names[2:])


def test_a_file_cut_anywhere_is_refused_before_anything_is_written(small: bytes, tmp_path: Path) -> None:
    rng = random.Random(3)
    for length in {0, 1, 511, 512, 513, len(small) - 1, len(small) - 512, *rng.sample(range(len(small)), 25)}:
        message = refused(small[:length], tmp_path)
        assert "cut off" in message or length < 4096, message


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_refused(
    small: bytes, tmp_path_factory: pytest.TempPathFactory, place: float, flip: int
) -> None:
    spoiled = bytearray(small)
    spoiled[int(place * len(small))] ^= flip
    refused(bytes(spoiled), tmp_path_factory.mktemp("flipped"))


@pytest.mark.parametrize("tail", [b"\0", bytes(512), b"x" * 10_240])
def test_what_stands_behind_the_end_is_refused(small: bytes, tmp_path: Path, tail: bytes) -> None:
    assert "longer than it may be" in refused(small + tail, tmp_path)


def extra(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    told = tarfile.TarInfo(name)
    told.type, told.linkname, told.size = kind, link, 0 if kind != tarfile.REGTYPE else 512
    return told.tobuf(tarfile.GNU_FORMAT) + (b"evil" * 128 if kind == tarfile.REGTYPE else b"")


@pytest.mark.parametrize(
    "member",
    [
        extra("../evil"),
        extra("/tmp/evil"),
        extra("golden/more.npy"),
        extra("golden/inputs.npy"),
        extra("golden/link", tarfile.SYMTYPE, "/etc/passwd"),
        extra("golden/hard", tarfile.LNKTYPE, "manifest.json"),
        extra("golden/pipe", tarfile.FIFOTYPE),
        extra("golden", tarfile.DIRTYPE),
        extra("device", tarfile.CHRTYPE),
    ],
)
def test_no_member_that_the_manifest_does_not_call_for_is_taken(small: bytes, tmp_path: Path, member: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(small)) as tar:
        heads = [one.offset for one in tar.getmembers()]
    for place in (*heads, len(small) - 1024):
        refused(small[:place] + member + small[place:], tmp_path)
    for place in heads[2:]:  # in the place of what belongs there, with the length as it should be
        if place + len(member) <= len(small) - 1024:
            refused(small[:place] + member + small[place + len(member) :], tmp_path)
    assert not Path("/tmp/evil").exists()


def forged(bundle: Bundle, change: Callable[[dict[str, object]], None], bodies: dict[str, bytes]) -> bytes:
    """What a hostile sender can make: any manifest, sealed anew, with members to match."""
    import json

    raw = json.loads((bundle.folder / MANIFEST).read_bytes())
    raw["files"], raw["records"] = {}, {}
    change(raw)
    content = canonical_json(raw)
    return archive([(MANIFEST, content), (SEAL, f"{sha256_bytes(content)}\n".encode()), *sorted(bodies.items())])


def archive(members: list[tuple[str, bytes]]) -> bytes:
    out = b""
    for name, body in members:
        told = tarfile.TarInfo(name)
        told.size, told.mode = len(body), 0o644
        out += told.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % 512)
    return out + bytes(1024)


def entry(body: bytes) -> dict[str, object]:
    return FileEntry(sha256=sha256_bytes(body), bytes=len(body)).model_dump()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "~/x", "a//b", "./a"])
def test_a_manifest_that_lists_a_way_out_is_refused(bundle: Bundle, tmp_path: Path, name: str) -> None:
    content = forged(bundle, lambda raw: raw.update(files={name: entry(b"evil")}), {name: b"evil"})
    assert "must stay inside" in refused(content, tmp_path)


@pytest.mark.parametrize("names", [("a", "a/b"), ("manifest.json",), ("manifest.sha256",), ("manifest.json/x",)])
def test_a_manifest_whose_names_collide_is_refused(bundle: Bundle, tmp_path: Path, names: tuple[str, ...]) -> None:
    listed = {name: entry(b"x") for name in names}
    refused(forged(bundle, lambda raw: raw.update(files=listed), dict.fromkeys(names, b"x")), tmp_path)


def test_a_file_that_is_listed_twice_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    both = {"files": {"a": entry(b"x")}, "records": {"a": entry(b"x")}}
    assert "lists a file twice" in refused(forged(bundle, lambda raw: raw.update(both), {"a": b"x"}), tmp_path)


@pytest.mark.parametrize("name", ["..", "../up", "a/b", ".", "", "/tmp/evil"])
def test_a_name_that_is_no_folder_is_refused(bundle: Bundle, tmp_path: Path, name: str) -> None:
    content = forged(bundle, lambda raw: raw.update(name=name, version="../../x" if name in ("", ".") else "1"), {})
    assert "no name that a folder may have" in refused(content, tmp_path)


def test_a_bomb_is_refused_by_its_length(bundle: Bundle, tmp_path: Path) -> None:
    huge = {"a": {"sha256": "0" * 64, "bytes": 1 << 50}}
    assert "cut off" in refused(forged(bundle, lambda raw: raw.update(files=huge), {}), tmp_path)
    told = tarfile.TarInfo(MANIFEST)
    told.size, told.mode = 1 << 32, 0o644
    assert "no bundle in one file" in refused(told.tobuf(tarfile.GNU_FORMAT) + bytes(9000), tmp_path)


def test_a_bundle_for_a_newer_edgemill_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    assert "newer Edgemill" in refused(forged(bundle, lambda raw: raw.update(min_agent="99.0.0"), {}), tmp_path)


def test_a_full_disk_is_said_before_anything_is_written(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgemill_core.bundle import one_file

    monkeypatch.setattr(one_file.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(one, tmp_path / "place")
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_was_altered_is_not_exported(bundle: Bundle, tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "made", {"golden/x.npy": b"as built"})
    (made.folder / "golden/x.npy").write_bytes(b"altered!")
    with pytest.raises(BundleError, match=r"x\.npy in the bundle was altered"):
        export_bundle(made, tmp_path / "out" / "b.edgemill")
    assert not list((tmp_path / "out").iterdir())


def test_a_bundle_is_not_exported_into_itself(bundle: Bundle) -> None:
    before = sorted(bundle.folder.rglob("*"))
    with pytest.raises(InputError, match="into its own folder"):
        export_bundle(bundle, bundle.folder / "golden" / ".." / "b.edgemill")
    assert sorted(bundle.folder.rglob("*")) == before


def test_what_lies_there_is_kept_if_it_is_the_same_and_never_replaced_if_not(one: Path, tmp_path: Path) -> None:
    first = import_bundle(one, tmp_path)
    stamp = (first.folder / MANIFEST).stat().st_mtime_ns
    assert import_bundle(one, tmp_path).folder == first.folder
    assert (first.folder / MANIFEST).stat().st_mtime_ns == stamp
    other = make_bundle(tmp_path / "other", {"golden/x.npy": b"of another build"})
    export_bundle(other, tmp_path / "other.edgemill")
    with pytest.raises(BundleError, match="another bundle of the same name and version"):
        import_bundle(tmp_path / "other.edgemill", tmp_path)
    assert (first.folder / MANIFEST).stat().st_mtime_ns == stamp


def test_one_file_is_opened_for_as_long_as_it_is_needed(bundle: Bundle, one: Path) -> None:
    with opened_bundle(one) as opened:
        folder = opened.folder
        assert np.array_equal(np.load(opened.path("golden/inputs.npy")), np.load(bundle.path("golden/inputs.npy")))
    assert not folder.exists()
    with opened_bundle(bundle.folder) as opened:
        assert opened.folder == bundle.folder
    assert bundle.folder.exists()


@pytest.mark.parametrize("content", [b"[" * 200_000, b"{}", b"\xff", b'{"schema_version": "2.0"}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    members = [(MANIFEST, content), (SEAL, f"{sha256_bytes(content)}\n".encode())]
    refused(archive(members), tmp_path)


def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.edgemill")
    with pytest.raises(BundleError, match="there is no bundle at"), opened_bundle(tmp_path / "pipe.edgemill"):
        pass


def test_what_is_no_file_is_said_to_be_none(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="there is no bundle at"):
        import_bundle(tmp_path / "nowhere.edgemill", tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        export_bundle(bundle, Path("/proc/none.edgemill"))
    assert not is_one_file(bundle.folder)
    with pytest.raises(EdgemillError, match="there is no bundle at"), opened_bundle(tmp_path / "nowhere"):
        pass
