"""``edgemill bundle``, and the other commands on a bundle in one file."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from small_bundle import NEEDS, make_bundle
from typer.testing import CliRunner

from edgemill.cli.app import app
from edgemill_core.bundle import Bundle, open_bundle, write_bundle
from edgemill_core.bundle.one_file import export_bundle
from edgemill_core.errors import BundleError, InputError, MissingPartError
from edgemill_runtimes.pipeline import open_pipeline
from edgemill_runtimes.requirements import check_requirements, installed_runtime, lacking

Command = Callable[..., subprocess.CompletedProcess[str]]


def told(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in ("bundle", *words)])


def json_of(*words: object) -> Any:
    return json.loads(told(*words, "--json").stdout)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "shelf", {"golden/x.npy": b"x" * 700}, requires=NEEDS)


# ls


def test_bundles_are_found_at_any_depth_as_folders_and_as_files(bundle: Bundle, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "shelf" / "deep" / "er" / "b.edgemill")
    shutil.copytree(bundle.folder, tmp_path / "shelf" / ".hidden" / "b")
    (tmp_path / "shelf" / "loop").symlink_to(tmp_path)
    found = json_of("ls", tmp_path)["bundles"]
    assert [Path(one["path"]).relative_to(tmp_path).as_posix() for one in found] == [
        "shelf/b-1.0.0",
        "shelf/deep/er/b.edgemill",
    ]
    for one in found:
        assert one["content_digest"] == bundle.manifest.content_digest
        assert (one["name"], one["version"], one["schema"], one["variants"]) == ("b", "1.0.0", "1.4", ["v"])
        assert one["bytes"] == sum(
            e.bytes for e in [*bundle.manifest.files.values(), *bundle.manifest.records.values()]
        )
    text = told("ls", tmp_path).stdout
    assert text.count(bundle.manifest.content_digest[:12]) == 2


def test_what_is_damaged_is_listed_as_that_and_hides_no_other(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "a.edgemill").write_bytes(b"cut")
    (tmp_path / "z").mkdir()
    for name in ("manifest.json", "manifest.sha256"):
        (tmp_path / "z" / name).write_text("{}")
    done = told("ls", tmp_path)
    assert done.exit_code == 0
    assert "a.edgemill is no bundle in one file" in done.stdout
    assert "manifest cannot be read" in done.stdout
    assert bundle.manifest.content_digest[:12] in done.stdout
    assert [one.get("error") for one in json_of("ls", tmp_path)["bundles"]] == ["BundleError", None, "BundleError"]


def test_a_folder_without_bundles_and_one_that_is_not_there(tmp_path: Path) -> None:
    assert told("ls", tmp_path).stdout == "no bundles here\n"
    assert isinstance(told("ls", tmp_path / "nowhere").exception, InputError)


def test_names_cannot_command_a_terminal(bundle: Bundle) -> None:
    hostile = bundle.manifest.model_copy(update={"name": "b\x1b[2Jx", "version": "1\n2"})
    shutil.copytree(bundle.folder, bundle.folder.with_name("copy"))
    write_bundle(bundle.folder.with_name("copy"), hostile, bundle.folder.with_name("hostile"))
    for words in (("ls", bundle.folder.parent), ("show", bundle.folder.with_name("hostile"))):
        text = told(*words).stdout
        assert "b?[2Jx" in text
        assert "\x1b" not in text


# show


def test_show_says_what_a_real_bundle_is(built: Any) -> None:
    text = told("show", built.bundle.folder).stdout
    manifest = built.bundle.manifest
    for words in (
        manifest.content_digest,
        "text-recognition",
        "onnxruntime 1.20 or newer, Python 3.10 or newer",
        "escape_rate",
        "bill of materials: 2 data, ",
        "measurements.json (record)",
    ):
        assert words in text, words
    raw = json_of("show", built.bundle.folder)
    assert raw["sbom"]["machine-learning-model"] == len(manifest.models[0].variants) + 1
    assert raw["card"]["task"]["name"] == "text-recognition"
    assert [one["requires"]["least"] for one in raw["variants"]]
    assert set(raw["files"]) == set(manifest.files)


def test_show_says_that_an_older_bundle_has_no_card(bundle: Bundle, tmp_path: Path) -> None:
    assert "built before bundles had a card" in told("show", bundle.folder).stdout
    raw = json_of("show", bundle.folder)
    assert (raw["card"], raw["sbom"]) == (None, None)
    export_bundle(bundle, tmp_path / "b.edgemill")
    assert json_of("show", tmp_path / "b.edgemill")["content_digest"] == raw["content_digest"]


def test_show_shows_nothing_of_a_bundle_that_was_altered(bundle: Bundle) -> None:
    (bundle.folder / "golden/x.npy").write_bytes(b"y" * 700)
    done = told("show", bundle.folder)
    assert isinstance(done.exception, BundleError)
    assert done.stdout == ""


# diff


def test_diff_ends_with_0_for_the_same_content_and_1_for_another(bundle: Bundle, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "b.edgemill")
    same = told("diff", bundle.folder, tmp_path / "b.edgemill")
    assert (same.exit_code, same.stdout) == (0, "the same content\n")
    other = make_bundle(tmp_path / "other", {"golden/x.npy": b"z" * 600, "golden/y.npy": b"y"}, precision="int8")
    done = told("diff", bundle.folder, other.folder)
    assert done.exit_code == 1
    for words in (
        "models.b.variants.v.precision: fp32 -> int8",
        "models.b.variants.v.requires.opset: 17 -> nothing",
        "golden/x.npy: changed, 700 -> 600 bytes",
        "golden/y.npy: only in B, 1 bytes",
        "v: 0 of 2 golden decisions differ",
        "5 files are the same; a box that holds A fetches 601 bytes",
    ):
        assert words in done.stdout, words
    raw = json_of("diff", bundle.folder, other.folder)
    assert (raw["same"], raw["bytes_b"] - raw["held_bytes"]) == (False, 601)


def test_diff_compares_figures_and_decisions(built: Any, tmp_path: Path) -> None:
    from edgemill_core.bundle import describe_files

    shutil.copytree(built.bundle.folder, tmp_path / "copy")
    raw = json.loads((tmp_path / "copy" / "card.json").read_text())
    raw["judged"][0]["value"] = 0.25
    (tmp_path / "copy" / "card.json").write_text(json.dumps(raw))
    manifest = built.bundle.manifest
    files = {**manifest.files, **describe_files(tmp_path / "copy", ["card.json"])}
    other = write_bundle(tmp_path / "copy", manifest.model_copy(update={"files": files}), tmp_path / "other")
    done = told("diff", built.bundle.folder, other.folder)
    assert done.exit_code == 1
    judged = raw["judged"][0]
    was = f"0 (worse by at most {judged['bound']:.3g}"
    assert f"{judged['variant']}, {judged['metric']}: {was}, {judged['samples']} samples) -> 0.25" in done.stdout
    other_samples = make_bundle(tmp_path / "small", {})
    assert "not judged" in told("diff", built.bundle.folder, other_samples.folder).stdout


# export and import


def test_a_bundle_goes_into_a_file_and_comes_back(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "carried" / "b.edgemill"
    out = json_of("export", bundle.folder, file)
    assert out["sha256"] == subprocess.run(["sha256sum", file], capture_output=True, text=True).stdout.split()[0]
    assert out["bytes"] == file.stat().st_size
    back = json_of("import", file, tmp_path / "there")
    assert open_bundle(back["bundle"]).manifest == bundle.manifest
    assert told("import", file, tmp_path / "there").stdout == f"bundle  {tmp_path / 'there' / 'b-1.0.0'}\n"
    assert told("export", file, tmp_path / "again.edgemill").exit_code == 0
    assert (tmp_path / "again.edgemill").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ["b.tar", "b", "folder.edgemill"])
def test_a_file_has_the_name_that_commands_know_it_by(bundle: Bundle, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.edgemill").mkdir()
    done = told("export", bundle.folder, tmp_path / name)
    assert isinstance(done.exception, InputError)
    assert "ends in .edgemill" in str(done.exception)


@pytest.mark.slow
def test_every_command_takes_a_bundle_in_one_file(edgemill_command: Command, built: Any, tmp_path: Path) -> None:
    file = tmp_path / "tiny.edgemill"
    export_bundle(built.bundle, file)
    done = edgemill_command("check", file, "--json")
    assert json.loads(done.stdout)["content_digest"] == built.bundle.manifest.content_digest, done.stderr
    picture = built.samples[0].picture
    done = edgemill_command("run", file, picture, "--expect", "AB", "--json")
    assert json.loads(done.stdout)["verdicts"][0]["decision"], done.stderr
    file.write_bytes(file.read_bytes()[:-1])
    done = edgemill_command("check", file)
    assert done.returncode == 2
    assert "is cut off" in done.stderr


def test_compare_and_bench_know_a_file_from_a_graph(bundle: Bundle, tmp_path: Path) -> None:
    from edgemill.cli.given_bundle import side_given

    file = tmp_path / "b.edgemill"
    export_bundle(bundle, file)
    folder, at, which = side_given(f"{file}@v:GPU").rpartition("@")
    assert (at, which) == ("@", "v:GPU")
    assert open_bundle(folder).manifest == bundle.manifest
    assert open_bundle(side_given(str(file))).manifest == bundle.manifest
    for text in ("model.onnx", "model.onnx@openvino", str(bundle.folder), f"{bundle.folder}@v"):
        assert side_given(text) == text


def test_a_file_where_a_folder_is_asked_for_says_how_to_get_one(bundle: Bundle, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "b.edgemill")
    with pytest.raises(BundleError) as caught:
        open_bundle(tmp_path / "b.edgemill")
    assert "edgemill bundle import" in str(caught.value.fix)


# What a box lacks


def test_a_box_is_told_what_it_lacks_before_anything_is_loaded(tmp_path: Path) -> None:
    newer = NEEDS.model_copy(update={"least": "99.1", "opset": 40})
    needy = make_bundle(tmp_path, {}, requires=newer)
    found = installed_runtime("onnxruntime")
    assert found is not None
    with pytest.raises(MissingPartError) as caught:  # the graph is no graph, and was not looked at
        open_pipeline(needy, "onnxruntime")
    assert caught.value.exit_code == 3
    for words in ("this box cannot run v", "onnxruntime 99.1 or newer", "opset 40", f"onnxruntime {found[1]}", "[ort]"):
        assert words in str(caught.value), words
    with pytest.raises(MissingPartError, match="none of the bundle's runtimes"):
        open_pipeline(needy)
    assert [one.what for one in lacking(needy.model.variants[0])] == ["this onnxruntime is too old"]


def test_a_box_that_has_it_all_lacks_nothing(bundle: Bundle) -> None:
    (variant,) = bundle.model.variants
    check_requirements(variant)
    assert lacking(variant) == ()
    assert lacking(variant.model_copy(update={"requires": None})) == ()
    assert installed_runtime("there is no such runtime") is None
