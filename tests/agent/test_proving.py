"""What a proof looks at besides the golden samples: what a box is, how long parts take, what layers compute in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from edgemill_agent.settings import StationSettings
from edgemill_agent.updating import in_time, proving
from edgemill_agent.updating.box import differences, read_box
from edgemill_agent.updating.in_time import RUNS, Timed, time_alone, waits
from edgemill_agent.updating.proving import Proven, prove_bundle
from edgemill_converters.chaining import ChainResult
from edgemill_converters.result import BuildResult
from edgemill_core.bundle import Bundle
from edgemill_runtimes.declared import not_as_declared
from edgemill_runtimes.engines.facts import EngineFacts, Layer
from edgemill_runtimes.pipeline import ModelPipeline, open_pipeline

BOX = {
    "proc/cpuinfo": "model name : ARMv8 Processor rev 1\nFeatures : fp asimd asimddp\n",
    "proc/sys/kernel/osrelease": "5.15.148-tegra\n",
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n",
    "sys/devices/system/cpu/online": "0-5\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_governor": "schedutil\n",
    "var/lib/nvpmodel/status": "pmode:0002 fmode:quiet\n",
}
PARTS = {"onnxruntime": "1.24.1", "numpy": "2.2.0", "onnx": "1.19.0"}


def put(root: Path, files: Mapping[str, str]) -> Path:
    for name, said in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(said)
    return root


# --- the box ---


def test_a_box_is_what_decides_over_numbers_and_times(tmp_path: Path) -> None:
    found = read_box(put(tmp_path, BOX), PARTS)
    assert {name: said for name, said in found.items() if name != "processor"} == {
        "instructions": "dotprod",
        "driver": "540.4.0, R36.4.3",
        "kernel": "5.15.148-tegra",
        "cores": "0-5",
        "governor": "schedutil",
        "power mode": "pmode:0002 fmode:quiet",
        "onnxruntime": "1.24.1",
        "numpy": "2.2.0",
    }
    assert "ARMv8" in found["processor"]
    assert differences(found, found) == ()


@pytest.mark.parametrize(
    ("file", "said", "differs"),
    [
        ("var/lib/nvpmodel/status", "pmode:0000", "power mode: pmode:0002 fmode:quiet, now pmode:0000"),
        (
            "proc/driver/nvidia/version",
            "NVRM version: x  550.1.2 y\n",
            "driver: 540.4.0, R36.4.3, now 550.1.2, R36.4.3",
        ),
        ("sys/devices/system/cpu/online", "0-3", "cores: 0-5, now 0-3"),
        (
            "sys/devices/system/cpu/cpufreq/policy4/scaling_governor",
            "powersave",
            "governor: schedutil, now schedutil, powersave",
        ),
        ("sys/firmware/acpi/platform_profile", "low-power", "platform profile: nothing, now low-power"),
        ("sys/class/thermal/thermal_zone0/temp", "90000", ""),
    ],
)
def test_a_box_that_is_another_one_is_told_by_what_differs(tmp_path: Path, file: str, said: str, differs: str) -> None:
    before = read_box(put(tmp_path, BOX), PARTS)
    assert "; ".join(differences(before, read_box(put(tmp_path, {file: said}), PARTS))) == differs


def test_another_runtime_is_another_box_and_this_one_is_the_same_twice() -> None:
    assert read_box() == read_box()
    newer = read_box(parts={**PARTS, "onnxruntime": "1.25.0"})
    assert differences(read_box(parts=PARTS), newer) == ("onnxruntime: 1.24.1, now 1.25.0",)


# --- what layers compute in ---


def facts(layers: Mapping[str, int], runtime: str = "onnxruntime", **told: object) -> EngineFacts:
    given = {"version": "1", "device": "CPU", "macs": {}, "unfused": (), "elsewhere": {}, **told}
    return EngineFacts(runtime=runtime, layers=layers, memory_mb=0, build_seconds=0, options={}, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("precision", "layers", "more", "wrong"),
    [
        ("fp32", {"fp32": 9}, {}, ""),
        ("fp32", {"fp32": 9, "bf16": 1}, {}, "1 layers in bf16, 9 layers in fp32"),
        ("fp64", {"fp32": 1, "fp64": 9}, {}, ""),
        ("int8", {"int8": 8, "fp32": 2}, {}, ""),
        ("int8", {"fp32": 10}, {}, "it is to compute in int8"),
        ("int8-dynamic", {"fp32": 10}, {}, "it is to compute in int8-dynamic"),
        ("int8-weights", {"fp32": 10}, {}, ""),
        ("bf16", {"fp32": 10}, {}, "it is to compute in bf16"),
        ("fp16", {"fp32": 10}, {}, ""),
        ("fp16", {"fp32": 10}, {"device": "GPU"}, "it is to compute in fp16"),
        ("int8", {"fp32": 10}, {"hidden": ("part",)}, ""),
        ("int8", {}, {}, ""),
        ("fp32", {"fp32": 2}, {"elsewhere": {"conv": "CPU"}, "device": "GPU"}, "conv on CPU"),
        ("fp32", {"fp32": 2}, {"elsewhere": {"shape": "CPU"}, "device": "GPU"}, ""),
        ("fp32", {"fp32": 2}, {"elsewhere": {"conv": "GPU"}, "device": "DLA", "runtime": "tensorrt"}, ""),
    ],
)
def test_what_is_declared_and_is_not_so(
    precision: str, layers: Mapping[str, int], more: Mapping[str, object], wrong: str
) -> None:
    found = not_as_declared(precision, facts(layers, **more), [Layer("conv", "fp32")])  # type: ignore[arg-type]
    assert (found is None) == (not wrong)
    assert wrong in (found or "")


# --- how long a part takes ---


class Clockwork:
    """A clock that goes on by what a part is said to take, of which so much was spent waiting for a core."""

    def __init__(self, takes: Iterator[tuple[float, float]]) -> None:
        self.now_s, self.own, self.engine, self._takes = 0.0, 0.0, 0.0, takes

    def now(self) -> float:
        return self.now_s

    def waited(self, engines: Sequence[int]) -> dict[int, float]:
        return {-1: self.own, 7: self.engine, 8: self.engine / 2}

    def part(self, *_: object) -> None:
        takes, lost = next(self._takes)
        self.now_s += takes
        self.own += lost / 2
        self.engine += lost / 2


def clocked(monkeypatch: pytest.MonkeyPatch, takes: Iterator[tuple[float, float]]) -> Timed:
    clock = Clockwork(takes)
    monkeypatch.setattr(in_time, "_parts", lambda *_: [clock.part])

    class Nothing(ModelPipeline):
        def __init__(self) -> None:
            self.engine = None  # type: ignore[assignment]

        def warm_up(self) -> None:
            pass

    return time_alone(Nothing(), None, clock.now, clock.waited)  # type: ignore[arg-type]


def test_what_waiting_for_a_core_took_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    found = clocked(monkeypatch, iter([(0.010 + 0.03 * (index % 2), 0.03 * (index % 2)) for index in range(RUNS + 1)]))
    assert (round(found.p99_ms, 6), found.runs) == (10.0, RUNS)
    assert clocked(monkeypatch, iter([(0.04, 0.0)] * (RUNS + 1))).p99_ms == pytest.approx(40.0)


def test_a_slow_engine_is_timed_over_fewer_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clocked(monkeypatch, iter([(2.0, 0.0)] * 60)).runs == 30
    assert clocked(monkeypatch, iter([(20.0, 0.0)] * 60)).runs == in_time.LEAST


def test_a_kernel_that_keeps_no_waits_takes_nothing_off(tmp_path: Path) -> None:
    put(tmp_path, {"12/task/12/schedstat": "5 2500000000 9\n", "12/task/13/schedstat": "no\n"})
    assert waits([12], tmp_path) == {-1: 0.0, 12: 2.5, 13: 0.0}
    assert waits([], tmp_path) == {-1: 0.0}
    assert -1 in waits([])


@pytest.mark.parametrize("which", ["picture", "chain"])
def test_whole_parts_are_timed(
    built: BuildResult, chained: ChainResult, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = built.bundle if which == "picture" else chained.bundle
    assert bundle is not None
    monkeypatch.setattr(in_time, "RUNS", 5)
    with open_pipeline(bundle) as pipeline:
        asked: list[object] = []
        real = type(pipeline).__call__
        monkeypatch.setattr(type(pipeline), "__call__", lambda *given: (asked.append(given[1]), real(*given))[1])
        found = time_alone(pipeline, bundle)
    assert found.runs == 5
    assert found.p99_ms > 0
    assert len(asked) == 6
    assert all(isinstance(one, np.ndarray) and one.dtype == np.uint8 for one in asked), "frames, not engine inputs"


# --- all of it ---


def station(**more: object) -> StationSettings:
    return StationSettings.model_validate({"name": "cell", "bundle": "b", "source": {"folder": "p"}, **more})


def test_a_chain_is_held_to_the_shortest_deadline(chained: ChainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chained.bundle is not None
    monkeypatch.setattr(proving, "time_alone", lambda *_: Timed(30.0, 200))
    asked = [station(deadline_ms=29, runtime="onnxruntime"), station(deadline_ms=99, runtime="onnxruntime")]
    slow = prove_bundle(chained.bundle, asked)
    assert slow.runtime is None
    (why,) = slow.why
    assert why.startswith("onnxruntime: it is too slow")
    assert "p99 of 30.0 ms over 200 parts, alone, where 29 ms" in why


def test_what_judges_already_is_tried_first(built: BuildResult, monkeypatch: pytest.MonkeyPatch) -> None:
    assert built.bundle is not None
    monkeypatch.setattr(proving, "time_alone", lambda *_: Timed(30.0, 200))
    last = built.bundle.model.variants[-1].runtime
    assert prove_bundle(built.bundle, [station(deadline_ms=30)], first=last) == Proven(last, ())


def shaken(bundle: Bundle, decisions: int) -> Bundle:
    """As if so many golden samples had been decided otherwise at build."""
    (model,) = bundle.manifest.models
    (first, *_) = model.variants
    other = {"pass": "reject", "reject": "pass", "uncertain": "pass"}
    built = tuple(other[one] if index < decisions else one for index, one in enumerate(first.golden.decisions))
    golden = first.golden.model_copy(update={"decisions": built})
    model = model.model_copy(update={"variants": (first.model_copy(update={"golden": golden}),)})
    return Bundle(bundle.folder, bundle.manifest.model_copy(update={"models": (model,)}))


@pytest.mark.parametrize(("differ", "may_differ", "holds"), [(2, 2, True), (2, 1, False), (1, 0, False)])
def test_so_many_golden_samples_may_differ(built: BuildResult, differ: int, may_differ: int, holds: bool) -> None:
    assert built.bundle is not None
    found = prove_bundle(shaken(built.bundle, differ), [station(proof={"may_differ": may_differ})])
    assert (found.runtime is not None) == holds
    assert holds or f"{differ} of 32 golden samples decided otherwise, of which {may_differ} may" in found.why[0]


def test_a_precision_that_is_not_had_is_refused(built: BuildResult) -> None:
    assert built.bundle is not None
    one = shaken(built.bundle, 0)
    (model,) = one.manifest.models
    (variant,) = model.variants
    said = "int8" if variant.precision == "fp32" else "fp32"  # which is the quickest, the build measured
    model = model.model_copy(update={"variants": (variant.model_copy(update={"precision": said}),)})
    found = prove_bundle(Bundle(one.folder, one.manifest.model_copy(update={"models": (model,)})), [station()])
    assert found.runtime is None
    assert f"it is to compute in {said}, and has " in found.why[0]
