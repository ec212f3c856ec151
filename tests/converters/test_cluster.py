"""Trials transformed by a real Dask cluster on this machine: the same bytes as here, and clear words where it fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny_search

from edgemill_converters.searching import cluster as clusters
from edgemill_converters.searching import evaluating
from edgemill_converters.searching.cluster import crew_of, dask_crew
from edgemill_converters.searching.search import search_targets
from edgemill_core.errors import ClusterError

distributed = pytest.importorskip("distributed", reason="NOTHING SHOWS THAT A CLUSTER WORKS: no `distributed` here")
ROOT = Path(__file__).parents[2]


@contextmanager
def cluster_of(workers: int, **more: Any) -> Iterator[Any]:
    settings = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", **more}
    with distributed.LocalCluster(n_workers=workers, processes=True, **settings) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with cluster_of(2) as found:
        yield found


def test_a_cluster_gives_the_same_artefacts_as_this_machine(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TURNS", 1), ("RUNS", 2), ("WARMUP", 0)):
        monkeypatch.setattr(evaluating, name, value)
    recipe = tiny_search.write_workshop(tmp_path / "workshop")
    here = tiny_search.searched(recipe, tmp_path / "here")
    memory = tiny_search.with_order_of(tmp_path / "here", tmp_path / "there")
    with crew_of(cluster.scheduler_address) as crew:
        (there,) = search_targets(tiny_search.given(recipe, memory), crew)
    assert [tiny_search.same_of(one) for one in there.trials] == [tiny_search.same_of(one) for one in here.trials]
    assert len({one.graph for one in there.trials}) > 3
    assert [one.plan for one in there.proposals] == [one.plan for one in here.proposals]
    for made in memory.glob("*.npz"):
        assert made.read_bytes() == (tmp_path / "here" / made.name).read_bytes()


def test_a_worker_that_is_killed_costs_no_result(cluster: Any) -> None:
    with dask_crew(cluster.scheduler_address) as crew:
        first = crew.run([(os.getpid,)])[0]
        threading.Timer(0.5, os.kill, [first, signal.SIGKILL]).start()
        assert crew.run([(slow_square, number) for number in range(8)]) == [number**2 for number in range(8)]


def slow_square(number: int) -> int:
    time.sleep(0.3)
    return number * number


def test_an_error_of_a_transform_is_its_own(cluster: Any) -> None:
    with dask_crew(cluster.scheduler_address) as crew, pytest.raises(ZeroDivisionError):
        crew.run([(divmod, 1, 1), (divmod, 1, 0)])


def test_a_scheduler_that_goes_is_said() -> None:
    with cluster_of(1) as going, dask_crew(going.scheduler_address) as crew:
        threading.Timer(1.0, going.close).start()
        with pytest.raises(ClusterError, match=r"gone|gave no result"):
            crew.run([(time.sleep, 60)])


def test_where_nobody_answers_or_works_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_ANSWER_S", 1)
    with pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        with dask_crew("tcp://127.0.0.1:9"):
            pass
    with cluster_of(0) as empty, pytest.raises(ClusterError, match="has no worker"):
        with dask_crew(empty.scheduler_address):
            pass


def other_code(folder: Path) -> None:
    for room in ("sdk", "converters", "runtimes"):
        shutil.copytree(ROOT / room, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    with (folder / "edgemill_core" / "codes.py").open("a") as file:
        file.write("# another line\n")


def no_search(folder: Path) -> None:
    (folder / "edgemill_converters").mkdir()
    (folder / "edgemill_converters" / "__init__.py").touch()


@pytest.mark.parametrize(("laid_out", "got"), [(other_code, "code "), (no_search, "Exception: ModuleNotFoundError")])
def test_workers_of_another_edgemill_are_refused(tmp_path: Path, laid_out: Any, got: str) -> None:
    laid_out(tmp_path)
    with cluster_of(0) as empty:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", empty.scheduler_address, "--no-dashboard"]
        with subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, stderr=subprocess.DEVNULL
        ) as worker:
            try:
                with distributed.Client(empty.scheduler_address, set_as_default=False) as client:
                    client.wait_for_workers(1, timeout=60)
                with pytest.raises(ClusterError, match="does not run the same Edgemill") as caught:
                    with dask_crew(empty.scheduler_address):
                        pass
                assert str(caught.value.got).startswith(got)
            finally:
                worker.terminate()
