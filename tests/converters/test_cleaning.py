"""The cleaning report: each thing that is wrong is found, and named with the sample; what is right is clean."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgemill.cli.data import run
from edgemill_converters.building.files import FileDigests
from edgemill_converters.building.sources import read_sources
from edgemill_converters.readers.cleaning import SetSummary, findings_in, shared, summarise
from edgemill_converters.readers.looking import Seen, look_at
from edgemill_converters.recipe import read_recipe
from edgemill_core.errors import DataError, RecipeError
from edgemill_core.picture_input import PictureInput, Region
from edgemill_core.row_input import RowInput
from edgemill_core.samples import Sample, TrueBox, Truth
from edgemill_core.tensor_input import TensorInput
from edgemill_runtimes.machine import this_machine

Workshop = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]
WHOLE = PictureInput(size=(8, 8))
HERE = Path("a.png")


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), noise)
    return path


GOOD = Truth(good=True)


def looked(name: str, seen: Seen, truth: Truth | None = GOOD, **fields: float) -> tuple[Sample, Seen]:
    return Sample(name, HERE, truth=truth, fields=fields), seen


# One look


def test_the_same_pixels_in_another_file_are_the_same_content(tmp_path: Path) -> None:
    one = picture(tmp_path / "a.png")
    image = Image.open(one)
    image.save(tmp_path / "again.png", compress_level=1)
    image.save(tmp_path / "other.bmp")
    told = Image.Exif()
    told[0x010E] = "another day"
    image.save(tmp_path / "told.png", exif=told)
    image.putpixel((0, 0), (1, 2, 3))
    image.save(tmp_path / "pixel.png")
    seen = {p.name: look_at(Sample(p.name, p), WHOLE) for p in sorted(tmp_path.iterdir())}
    assert len({(tmp_path / name).read_bytes() for name in seen}) == 5
    assert {one.fault for one in seen.values()} == {""}
    same = {name for name in seen if seen[name].content == seen["a.png"].content}
    assert same == {"a.png", "again.png", "other.bmp", "told.png"}
    assert seen["a.png"].size == "40 x 30"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.95])
def test_a_picture_that_is_cut_off_is_found(tmp_path: Path, suffix: str, keep: float) -> None:
    path = picture(tmp_path / f"a{suffix}")
    assert look_at(Sample("a", path), WHOLE).fault == ""
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    assert look_at(Sample("a", path), WHOLE).fault


def test_what_a_build_would_refuse_is_a_fault(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    mask = picture(tmp_path / "mask.png", 1, (30, 40))
    empty = tmp_path / "empty.png"
    assert cv2.imwrite(str(empty), np.zeros((30, 40, 3), np.uint8))
    cases = {
        "of another size": Sample("a", path, truth=Truth(True, boxes=(), size=(30, 40))),
        "its mask has 30 x 40": Sample("a", path, truth=Truth(False, mask=mask)),
        "marks nothing": Sample("a", path, truth=Truth(False, mask=empty)),
        "is not there": Sample("a", path, truth=Truth(False, mask=tmp_path / "gone.png")),
        "no picture at": Sample("a", tmp_path / "gone.png"),
    }
    for part, sample in cases.items():
        seen = look_at(sample, WHOLE)
        assert part in seen.fault
        assert seen.content == ""
    outside = PictureInput(size=(8, 8), region=Region(x=30, y=0, width=20, height=10))
    assert "smaller than the region" in look_at(Sample("a", path), outside).fault
    assert look_at(Sample("e", empty), WHOLE).flat
    assert not look_at(Sample("a", path), None).flat


def test_rows_and_tensors_are_looked_at_too(tmp_path: Path) -> None:
    features = RowInput.model_validate({"features": ["x", {"name": "y", "max": 1}]})
    assert look_at(Sample("r", HERE, fields={"x": 1.0, "y": 0.5}), features).content
    assert "'y' cannot be used" in look_at(Sample("r", HERE, fields={"x": 1.0, "y": 2.0}), features).fault
    tensors = TensorInput.model_validate({"tensors": {"t": [1, 3]}})
    for name, values in {"a.npz": [[1, 2, 3]], "b.npz": [[1, 2, 3, 4]]}.items():
        np.savez(tmp_path / name, t=np.array(values, np.float32))
    np.savez_compressed(tmp_path / "c.npz", t=np.array([[1, 2, 3]], np.float32))
    a, b, c = (look_at(Sample(name, tmp_path / name), tensors) for name in ("a.npz", "b.npz", "c.npz"))
    assert a.content == c.content != ""
    assert "does not fit the model" in b.fault


# The summary, which is a function of what was seen


def test_a_set_is_summed_up() -> None:
    boxes = (TrueBox("short", 0, 0, 1, 1), TrueBox("short", 1, 1, 2, 2), TrueBox("open", 0, 0, 1, 1))
    found = summarise(
        [
            looked("a", Seen("4 x 4", "x"), Truth(good=False, boxes=boxes)),
            looked("b", Seen("4 x 4", "x"), Truth(good=True, boxes=())),
            looked("c", Seen("4 x 4", "y", flat=True), None),
            looked("d", Seen("9 x 4", "z"), Truth(good=None, class_name="cat")),
            looked("e", Seen(fault="no picture")),
        ]
    )
    assert found == SetSummary(
        samples=5,
        faults={"e": "no picture"},
        sizes={"4 x 4": 3, "9 x 4": 1},
        odd=("d (9 x 4)",),
        good=2,
        bad=1,
        classes={"cat": 1, "open": 1, "short": 1},
        boxes={"open": 1, "short": 2},
        unlabelled=("c",),
        flat=("c",),
        repeated=(("a", "b"),),
    )


@pytest.mark.parametrize(
    ("role", "what", "expected"),
    [
        ("judge", {}, []),
        ("judge", {"failure": "no table"}, [(True, "no table")]),
        ("calibration", {"faults": {"a": "cut"}}, [(True, "cannot be used")]),
        ("judge", {"unlabelled": ("a",)}, [(True, "nobody labelled")]),
        ("search", {"unlabelled": ("a",)}, [(False, "nobody labelled")]),
        ("calibration", {"unlabelled": ("a",)}, []),
        ("judge", {"repeated": (("a", "b"),)}, [(True, "the same more than once")]),
        ("search", {"repeated": (("a", "b"),)}, [(False, "the same more than once")]),
        ("judge", {"repeated": (("a", "b"),), "sizes": {}}, [(True, "the same more than once")]),  # tensors
        ("judge", {"repeated": (("a", "b"),), "sizes": {}, "rows": True}, [(False, "the same more than once")]),
        ("judge", {"flat": ("a",)}, [(False, "nothing is to be seen in")]),
        ("judge", {"odd": ("a",)}, [(False, "sizes that few have (most have 4 x 4)")]),
        ("judge", {"good": 11, "bad": 1}, [(False, "out of balance: 11 of good against 1 of bad")]),
        ("judge", {"good": 10, "bad": 1}, []),
        ("judge", {"good": 50}, []),
        ("judge", {"classes": {"a": 30, "b": 2, "c": 9}}, [(False, "out of balance: 30 of a against 2 of b")]),
    ],
)
def test_findings_are_grave_where_a_build_would_fail(role: str, what: dict[str, Any], expected: list[object]) -> None:
    sizes = what.pop("sizes", {"4 x 4": 9})
    one = SetSummary(samples=9, sizes=sizes, **what)
    assert [(finding.grave, finding.what) for finding in findings_in({role: one})] == expected


def test_what_two_sets_share_is_found_by_content() -> None:
    sets = {
        "calibration": [looked("a", Seen("", "x")), looked("b", Seen("", "y")), looked("f", Seen(fault="cut"))],
        "judge": [looked("c", Seen("", "y")), looked("d", Seen("", "z")), looked("g", Seen(fault="cut"))],
    }
    (finding,) = shared(sets)
    assert (finding.role, finding.what, finding.samples, finding.grave) == (
        "judge",
        "also in calibration",
        ("b = c",),
        True,
    )


def test_equal_features_with_another_outcome_are_another_row() -> None:
    def row(name: str, outcome: float) -> tuple[Sample, Seen]:
        return looked(name, Seen("", "x"), Truth(True, outcome=outcome), x=1.0)

    assert not shared({"search": [row("a", 1.0)], "judge": [row("b", 2.0)]})
    assert shared({"search": [row("a", 1.0)], "judge": [row("b", 1.0)]})


@given(st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from(["4 x 4", "5 x 4"]), st.booleans()), max_size=30))
def test_every_sample_is_counted_once(drawn: list[tuple[str, str, bool]]) -> None:
    found = summarise(
        [
            looked(str(n), Seen(size, content) if not cut else Seen(fault="cut"))
            for n, (content, size, cut) in enumerate(drawn)
        ]
    )
    assert found.samples == len(drawn) == found.good
    assert sum(found.sizes.values()) + len(found.faults) == len(drawn)
    assert sum(map(len, found.repeated)) <= len(drawn)
    assert list(found.sizes.values()) == sorted(found.sizes.values(), reverse=True)


# The command


def told(recipe: Path, code: int, capsys: pytest.CaptureFixture[str], json: bool = False) -> str:
    if code:
        with pytest.raises(SystemExit) as caught:
            run(recipe, json)
        assert caught.value.code == code
    else:
        run(recipe, json)
    return capsys.readouterr().out


def test_a_clean_recipe_is_clean(workshop: Workshop, edgemill_command: Command) -> None:
    done = edgemill_command("data", workshop(judge=20))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clean" in done.stdout.splitlines()[-1]
    assert "judge: 0 of 20" in done.stderr


def test_what_is_wrong_is_all_told_at_once(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = workshop(judge=20)
    judge, calibration = recipe.parent / "judge", recipe.parent / "calibration"
    (judge / "0003.png").write_bytes(b"no picture")
    (judge / "0004.png").unlink()
    Image.open(judge / "0005.png").save(calibration / "0001.png", compress_level=0)
    Image.open(judge / "0007.png").save(judge / "0006.png", compress_level=0)
    report = json.loads(told(recipe, 1, capsys, json=True))
    found = {(one["role"], one["what"]): one["samples"] for one in report["findings"]}
    assert report["clean"] is False
    assert [name.split(":")[0] for name in found["judge", "cannot be used"]] == ["0003.png", "0004.png"]
    assert found["judge", "the same more than once"] == ["0006.png = 0007.png"]
    assert found["judge", "also in calibration"] == ["0001.png = 0005.png"]
    assert report["sets"]["judge"]["samples"] == 20
    plain = told(recipe, 1, capsys)
    assert "WRONG  judge: also in calibration" in plain
    assert "0004.png" in plain
    assert plain.splitlines()[-1].startswith("3 of ")


@pytest.mark.parametrize("searches", [True, False])
def test_labels_to_search_on_are_needed_where_there_is_a_search(
    workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str], searches: bool
) -> None:
    recipe = workshop(judge=4, budget=[{"metric": "exact_rate", "max_drop": 0.9}])
    told_by = yaml.safe_load(recipe.read_text())
    (recipe.parent / "more").mkdir()
    picture(recipe.parent / "more" / "a.png", size=(200, 100))
    told_by["data"]["search"] = {"pictures": "more"}
    told_by["quantization"] = {"fallback": {"evaluations": 8}} if searches else {}
    recipe.write_text(yaml.safe_dump(told_by))
    report = json.loads(told(recipe, int(searches), capsys, json=True))
    grave = [(one["role"], one["samples"]) for one in report["findings"] if one["grave"] and one["samples"]]
    assert grave == ([("search", ["a.png"])] if searches else [])
    made, digests = read_recipe(recipe), FileDigests(tmp_path / "digests.json")
    with pytest.raises(DataError, match="search set does not have") if searches else nullcontext():
        read_sources(made, made.make_task(), (), this_machine(), digests)


def test_a_set_that_cannot_be_read_is_a_finding_and_a_recipe_that_cannot_is_none(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = workshop(judge=4, budget=[{"metric": "exact_rate", "max_drop": 0.1}])
    (recipe.parent / "calibration" / "labels.csv").write_bytes(b"file,good\n0000.png,1\n\xff,1\n")
    labels = recipe.parent / "judge" / "labels.csv"
    labels.write_text("file,good\n" + "".join(f"000{n}.png,1\n" for n in range(4)))
    found = told(recipe, 1, capsys)
    assert "labels.csv, line 3 cannot be read" in found
    assert "metric exact_rate needs labels" in found
    recipe.write_text("name: x\n")
    with pytest.raises(RecipeError):
        run(recipe, json=False)


def test_a_chain_s_judge_is_looked_at_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_into = tmp_path / "parts" / "cat"
    draw_into.mkdir(parents=True)
    picture(draw_into / "a.png")
    stages = [{"name": "find", "bundle": "x"}, {"name": "read", "bundle": "y", "crops_of": "find"}]
    budget = [{"metric": name, "at_most": 0.1} for name in ("escape_rate", "overkill_rate")]
    recipe = {"name": "c", "version": "1.0.0", "chain": stages, "budget": budget}
    for data, part in (({"mvtec": "gone"}, "no folder of folders"), ({"classes": "parts"}, "without a label")):
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "data": {"judge": data}}))
        assert part in told(tmp_path / "recipe.yaml", 1, capsys)
