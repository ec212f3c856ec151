"""The search for better INT8 forms of efficientnet-lite0 and of the PCB detector: what it finds, kills, and a cluster.

Per model a recipe with ``search: {trials: 32}`` is built by the real command, killed at random moments while trials run
and let through. Every trial that was noted before a kill must be in the result as it was, and the trials must be those
that the same results ask for without a kill. Then all of them are transformed again, by processes of this machine and
by a Dask cluster of two workers, and the digests compared with those of the search. Needs the extra ``cluster``; the
detector must lie under ``bench-out/pcb`` (``python examples/pcb/run.py FOLDER bench-out/pcb``), else it is left out.

About 15 minutes. Labels of efficientnet-lite0 are what FP32 says, so a class rate is agreement with it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from form import Row, at_least, at_most, main, stated
from rebuild import write_recipe

from edgemill_converters.bake import bake
from edgemill_converters.build import build
from edgemill_converters.importers import import_model
from edgemill_converters.readers import read_set
from edgemill_converters.recipe import Recipe, read_recipe
from edgemill_converters.result import BuildResult
from edgemill_converters.searching.artefacts import Artefacts, Files, Given
from edgemill_converters.searching.asking import BATCH, Told, ask
from edgemill_converters.searching.cluster import crew_of
from edgemill_converters.searching.crews import Crew
from edgemill_converters.searching.found import SearchFound
from edgemill_converters.searching.front import beats
from edgemill_converters.searching.space import Choice, Space
from edgemill_runtimes.machine import this_machine

TRIALS, KILLS, SEED = 32, 4, 5
SEARCH = {"trials": TRIALS, "seed": SEED, "objectives": ["loss", "latency_p99", "size"]}
PCB = Path(__file__).parents[1] / "bench-out" / "pcb" / "pcb-detector.yaml"
TARGETS = [{"runtime": "openvino", "precisions": ["fp32", "int8"]}]


def lite0(folder: Path) -> Path:
    """Recipe of efficientnet-lite0: 200 of the judge's crops are the search set's instead."""
    path = write_recipe(folder)
    told = yaml.safe_load(path.read_text())
    lines = (folder / "judge" / "labels.csv").read_text().splitlines()
    (folder / "judge" / "searched.csv").write_text("\n".join([lines[0], *lines[1:201]]))
    (folder / "judge" / "judged.csv").write_text("\n".join([lines[0], *lines[201:]]))
    told["data"]["search"] = {"labels": "judge/searched.csv"}
    told["data"]["judge"] = {"labels": "judge/judged.csv"}
    told["data"]["calibration"]["take"] = 100
    told["budget"] = [{"metric": "class_rate", "max_drop": 0.3}]
    return written(path, told)


def detector(_: Path) -> Path:
    told = yaml.safe_load(PCB.read_text())
    told["budget"] = [{"metric": "map@0.33", "max_drop": 0.05}]
    return written(PCB.with_name("search-recipe.yaml"), told)


def written(path: Path, told: dict[str, object]) -> Path:
    gates = {"slower": "allow"}  # a front is looked for here, on whatever machine this is
    path.write_text(yaml.safe_dump({**told, "targets": TARGETS, "search": SEARCH, "gates": gates}, sort_keys=False))
    return path


def notes_in(out: Path) -> dict[str, object]:
    """Trials that are on the disk."""
    found = {}
    for path in out.glob(".edgemill-cache/notes/*/trials-*.jsonl"):
        for line in path.read_bytes().rpartition(b"\n")[0].splitlines():
            told = json.loads(line)
            if told["name"].startswith("trial "):
                found[told["name"]] = told["value"]
    return found


def killed(recipe: Path, out: Path, chance: random.Random) -> list[dict[str, object]]:
    """What was noted at each kill: at a random moment behind a random number of trials."""
    noted: list[dict[str, object]] = []
    command = [sys.executable, "-m", "edgemill", "build", str(recipe), "--out", str(out)]
    for after in sorted(chance.sample(range(1, TRIALS - 2), KILLS)):
        print(f"  killed behind trial {after}", file=sys.stderr, flush=True)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
            while len(notes_in(out)) < after and running.poll() is None:
                time.sleep(0.05)
            time.sleep(chance.uniform(0, 3))
            running.send_signal(signal.SIGKILL)
        noted.append(notes_in(out))
    return noted


def asked_again(found: SearchFound, space: Space) -> list[Choice]:
    """What an undisturbed search asks for that is given the same results."""
    told = [Told(one.choice, found.values(one)) for one in found.trials]
    starts = range(0, len(told), BATCH)
    return [one for start in starts for one in ask(space, SEED, told[:start], min(BATCH, len(told) - start))]


def transformed(given: Given, crew: Crew, found: SearchFound, folder: Path) -> list[str]:
    """Digests of the graphs of all trials."""
    graph = folder / "fp32.onnx"
    graph.write_bytes(given.baked.graph.SerializeToString(deterministic=True))
    artefacts = Artefacts(given, crew, Files(folder, graph, folder / "none"))
    runtime = given.recipe.targets[found.place].runtime
    return [made.digest for made in artefacts.of([one.choice for one in found.trials], found.orders, runtime)]


def given_to(recipe: Recipe, built: BuildResult, memory: Path) -> Given:
    assert recipe.search is not None
    assert recipe.data.calibration is not None
    assert built.plan is not None
    memory.mkdir()
    baked = bake(import_model(recipe), recipe.input, recipe.make_task())
    calibration = read_set(recipe, "calibration", recipe.data.calibration)
    return Given(recipe, recipe.search, baked, built.plan, calibration, [], this_machine(), memory)


def digests(recipe: Recipe, built: BuildResult, found: SearchFound, folder: Path) -> tuple[list[str], list[str]]:
    """Of all trials: by processes of this machine, and by a Dask cluster. Each collects its own statistics."""
    import distributed

    every = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        for name, address in (("here", None), ("there", cluster.scheduler_address)):
            print(f"  transforming {name}", file=sys.stderr, flush=True)
            place = folder / name
            place.mkdir()
            with crew_of(address) as crew:
                every.append(transformed(given_to(recipe, built, place / "memory"), crew, found, place))
    return every[0], every[1]


def rows_of(name: str, recipe_file: Path, folder: Path) -> list[Row]:
    print(f"{name} …", file=sys.stderr, flush=True)
    noted = killed(recipe_file, folder / "out", random.Random(SEED))
    recipe = read_recipe(recipe_file)
    built = build(recipe, folder / "out", progress=lambda said: print(f"  {said}", file=sys.stderr, flush=True))
    (found,) = built.searches
    here, there = digests(recipe, built, found, folder)
    return [
        *_front(name, found),
        *_judged(name, built, found),
        *_killed(name, recipe, built, found, noted),
        *_cluster(name, found, here, there),
    ]


def _front(name: str, found: SearchFound) -> list[Row]:
    plain, best = found.values(found.plain), [found.trials[number] for number in found.front]
    assert plain is not None
    better = [one for one in best if beats(found.values(one) or (), plain)]
    held = found.plain.number in found.front or bool(better)
    fastest = min(best, key=lambda one: one.seen.values["latency_p99"] if one.seen else 9.0)
    least = min(best, key=lambda one: one.seen.values["loss"] if one.seen else 9.0)
    assert fastest.seen is not None
    assert least.seen is not None
    assert found.plain.seen is not None
    values = found.plain.seen.values
    return [
        at_least(name, "trials", "trials", float(len(found.trials)), 30, 1),
        stated(name, "different graphs", "graphs", float(len({one.graph for one in found.trials})), 1),
        at_least(name, "front holds plain INT8 or betters it", "fronts", float(held), 1, 1),
        stated(name, "trials of the front that beat plain INT8", "trials", float(len(better)), 1),
        stated(name, "loss, least of the front", "of power", least.seen.values["loss"], 1, round(values["loss"], 6)),
        stated(
            name,
            "p99 over FP32's, least of the front",
            "×",
            fastest.seen.values["latency_p99"],
            1,
            round(values["latency_p99"], 4),
        ),
        stated(name, "inferences of the search", "inferences", float(found.inferences), 1),
    ]


def _judged(name: str, built: BuildResult, found: SearchFound) -> list[Row]:
    """On the judge's set, and measured again in turns: what went on beside plain INT8."""
    plain = built.variant(f"{found.target}-int8")
    rows = []
    for one in found.proposals:
        variant = built.variant(f"{found.target}-int8-trial-{one.number}")
        case = f"{name}, trial {one.number} judged"
        ours, theirs = variant.measurement, plain.measurement
        metrics = [(v.ruling.judgements[0].budget.metric, v.ruling.judgements[0].variant) for v in (variant, plain)]
        rows += [
            stated(case, "p50 (reference: plain INT8's)", "ms", ours.p50_ms, 150, round(theirs.p50_ms, 4)),
            stated(case, f"{metrics[0][0]} (reference: the same)", "", metrics[0][1], 1, round(metrics[1][1], 5)),
        ]
    return rows


def _killed(
    name: str, recipe: Recipe, built: BuildResult, found: SearchFound, noted: Sequence[dict[str, object]]
) -> list[Row]:
    assert recipe.data.calibration is not None
    assert built.plan is not None
    settings = recipe.quantization.for_task(recipe.make_task().name)
    pictures = len(read_set(recipe, "calibration", recipe.data.calibration))
    space = Space.of(recipe.targets[found.place], settings, pictures, len(built.plan.layers))
    final = {f"trial {one['number']} {key}": one for one, key in _told(found)}
    changed = sum(final.get(trial) != told for before in noted for trial, told in before.items())
    again = asked_again(found, space)
    other = sum(a != one.choice for a, one in zip(again, found.trials, strict=True))
    case = f"{name}, killed {KILLS} times"
    return [
        stated(case, "trials that were finished at the last kill", "trials", float(len(noted[-1])), KILLS),
        at_most(case, "finished trials that changed", "trials", float(changed), 0, KILLS),
        at_most(case, "trials other than without a kill", "trials", float(other), 0, len(found.trials)),
    ]


def _told(found: SearchFound) -> list[tuple[dict[str, object], str]]:
    told = found.as_dict()["trials"]
    return [(json.loads(json.dumps(one)), trial.choice.key) for one, trial in zip(told, found.trials, strict=True)]


def _cluster(name: str, found: SearchFound, here: Sequence[str], there: Sequence[str]) -> list[Row]:
    first = [one.graph for one in found.trials]
    return [
        at_most(f"{name}, Dask", "digests other than here", "of trials", _differ(here, there), 0, len(first)),
        at_most(f"{name}, Dask", "digests other than the search's", "of trials", _differ(first, there), 0, len(first)),
    ]


def _differ(some: Sequence[str], others: Sequence[str]) -> float:
    return float(sum(a != b for a, b in zip(some, others, strict=True)))


def measure() -> list[Row]:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    rows = []
    makers = {"efficientnet-lite0": lite0, "pcb detector": detector}
    for name, maker in makers.items():
        if maker is detector and not PCB.is_file():
            rows.append(stated(name, "not under bench-out/pcb, left out", "models", 0, 0))
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows += rows_of(name, maker(Path(folder)), Path(folder))
    return rows


if __name__ == "__main__":
    main(measure)
