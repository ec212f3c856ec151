"""The agent hands its folder of plans to the engines of TensorRT, and proves what it finds there at each start."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_bundle import make_bundle

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import open_ledger
from edgemill_agent.line.engine_seat import refusal
from edgemill_agent.line.journal import Journal
from edgemill_agent.line.station import Station
from edgemill_agent.settings import read_settings
from edgemill_agent.workers import engine_worker
from edgemill_core.errors import MissingPartError, NoPlanError
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.pipeline import open_pipeline


class Stop(Exception):  # noqa: N818 (it ends a worker where the test has seen enough)
    pass


def test_an_engine_worker_is_told_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_bundle(tmp_path, {})
    station = {"name": "s", "bundle": str(bundle.folder), "source": {"folder": "f"}}
    (tmp_path / "agent.yaml").write_text(json.dumps({"device": {"id": "box"}, "stations": [station]}))
    settings = read_settings(tmp_path / "agent.yaml")
    ledger, _ = open_ledger(settings.state, Clock())

    async def first() -> dict[str, Any]:
        journal, tell = Journal(ledger, lambda _: None, str), lambda _: None
        station = Station(
            settings.stations[0],
            "",
            settings.state,
            journal,
            Clock(),
            tell,
            15.0,
            lambda: None,
            plans=settings.plan_store,
        )
        return station.engines.active._first()

    told = asyncio.run(first())
    ledger.close()
    assert told["plans"] == str(tmp_path / "state" / "plans")
    asked: list[Any] = []

    def opened(*_: object, **keywords: Any) -> None:
        asked.append(keywords["plans"])
        raise Stop

    monkeypatch.setattr(engine_worker, "open_pipeline", opened)
    for plans in (told["plans"], None):
        with pytest.raises(Stop):
            engine_worker.work(None, {**told, "plans": plans})  # type: ignore[arg-type] # it does not come so far
    assert asked == [tmp_path / "state" / "plans", None]


@pytest.mark.parametrize(("runtime", "looks"), [("tensorrt", True), ("tensorrt_rtx", True), ("onnxruntime", False)])
def test_only_engines_of_tensorrt_look_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, looks: bool
) -> None:
    seen: list[EngineSettings] = []

    def load(_: str, __: Path, settings: EngineSettings, ___: bool) -> None:
        seen.append(settings)
        raise MissingPartError("not here")

    monkeypatch.setattr("edgemill_runtimes.pipeline.load", load)
    bundle = make_bundle(tmp_path, {}, runtime=runtime)
    for plans in (tmp_path / "plans", None):
        with pytest.raises(MissingPartError):
            open_pipeline(bundle, plans=plans)
    assert [one.cache for one in seen] == [tmp_path / "plans" if looks else None, None]


def test_a_station_without_a_plan_is_told_so_as_such() -> None:
    for kind in (NoPlanError, MissingPartError):
        error = refusal("s", kind("no", fix="make one").as_dict())
        assert (type(error), error.exit_code, error.fix) == (kind, 3, "make one")


@dataclass
class Opened:
    """As much of a pipeline as is seen of it before it is proved."""

    runtime: str

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("runtime", "asked", "proved"),
    [("onnxruntime", False, False), ("onnxruntime", True, True), ("tensorrt", False, True)],
)
def test_a_plan_is_proved_at_each_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, asked: bool, proved: bool
) -> None:
    always: list[bool] = []

    def prove(*told: object) -> None:
        always.append(bool(told[-1]))
        raise Stop

    bundle = make_bundle(tmp_path, {})
    monkeypatch.setattr(engine_worker, "open_pipeline", lambda *_, **__: Opened(runtime))
    monkeypatch.setattr(engine_worker, "_proved", prove)
    monkeypatch.setattr(engine_worker, "FrameRing", lambda *_: None)
    first = {
        "bundle": str(bundle.folder),
        "runtime": None,
        "tune": {},
        "mode": "latency",
        "prove": asked,
        "may_differ": 0,
        "plans": None,
    }
    with pytest.raises(Stop):
        engine_worker.work(None, {**first, "quality": None, "ring": 0, "slot_bytes": 1, "gives": "pictures"})  # type: ignore[arg-type]
    assert always == [proved]
