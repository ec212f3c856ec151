"""What every runtime owes: inherit it, name the runtime, and give feeds that its graph takes."""

from __future__ import annotations

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny_text import tiny_model

from edgemill_core.errors import EngineCrashed, EngineError, InputError, ModelError
from edgemill_core.tensors import Limits
from edgemill_runtimes.engines import Engine, EngineSettings, load
from edgemill_runtimes.isolation import IsolatedEngine


class EngineContract:
    """What every runtime owes."""

    runtime: str
    feeds: dict[str, np.ndarray]
    device = "CPU"

    def settings(self, **more: Any) -> EngineSettings:
        return EngineSettings(self.device, **more)

    @pytest.fixture
    def graph(self, tmp_path: Path) -> Path:
        onnx.save(tiny_model(), tmp_path / "graph.onnx")
        return tmp_path / "graph.onnx"

    @pytest.fixture
    def engine(self, graph: Path) -> Engine:
        return load(self.runtime, graph, self.settings())

    def test_it_says_what_it_takes_and_gives(self, engine: Engine) -> None:
        assert [spec.name for spec in engine.inputs] == list(self.feeds)
        found = engine.run(self.feeds)
        assert list(found) == [spec.name for spec in engine.outputs]
        for spec in engine.outputs:
            assert spec.dtype == found[spec.name].dtype.name
            assert spec.admits(found[spec.name].shape)

    def test_results_belong_to_the_caller(self, engine: Engine) -> None:
        first = engine.run(self.feeds)
        kept = {name: value.copy() for name, value in first.items()}
        engine.run({name: np.zeros_like(value) for name, value in self.feeds.items()})
        for name, value in first.items():
            np.testing.assert_array_equal(value, kept[name])

    def test_the_same_input_gives_the_same_bits(self, engine: Engine) -> None:
        one, two = engine.run(self.feeds), engine.run(self.feeds)
        for name in one:
            assert one[name].tobytes() == two[name].tobytes()

    def test_feeds_that_do_not_fit_never_reach_the_runtime(self, engine: Engine) -> None:
        name, value = next(iter(self.feeds.items()))
        for wrong in ({}, {"nothing": value}, {name: value.astype(np.int16)}, {name: value[0]}):
            with pytest.raises(InputError):
                engine.run(wrong)

    def test_feeds_may_lie_in_memory_as_they_like(self, engine: Engine) -> None:
        expected = engine.run(self.feeds)
        frozen = {name: value.copy() for name, value in self.feeds.items()}
        for value in frozen.values():
            value.setflags(write=False)
        turned = {name: np.asfortranarray(value) for name, value in self.feeds.items()}
        gaps = {name: np.repeat(value, 2, axis=-1)[..., ::2] for name, value in self.feeds.items()}
        for feeds in (frozen, turned, gaps):
            for found in (engine.run(feeds), *engine.stream([feeds] * 3)):
                for name, value in expected.items():
                    assert found[name].tobytes() == value.tobytes()

    def test_a_closed_engine_says_so(self, graph: Path) -> None:
        with load(self.runtime, graph, self.settings()) as engine:
            engine.run(self.feeds)
        engine.close()
        with pytest.raises(EngineError, match="closed"):
            engine.run(self.feeds)

    def test_every_node_is_timed_or_none(self, engine: Engine) -> None:
        times = engine.node_times(self.feeds, runs=2)
        assert all(node.names and node.ms >= 0 for node in times)
        assert not times or sum(node.heavy for node in times) == sum(engine.facts().layers.values())
        with pytest.raises(InputError):
            engine.node_times({})

    def test_facts_name_runtime_version_and_device(self, engine: Engine) -> None:
        facts = engine.facts()
        assert facts.runtime == self.runtime
        assert facts.version
        assert facts.device == self.device
        assert facts.build_seconds >= 0

    def test_layers_are_those_that_the_facts_count(self, engine: Engine) -> None:
        facts, layers = engine.facts(), engine.layers()
        assert Counter(layer.precision for layer in layers) == facts.layers
        assert tuple(layer.name for layer in layers if layer.unfused) == facts.unfused

    def test_outputs_can_go_into_the_caller_s_own_buffers(self, engine: Engine) -> None:
        expected = engine.run(self.feeds)
        mine = {name: np.empty_like(value) for name, value in expected.items()}
        for name, value in engine.run(self.feeds, into=mine).items():
            assert value is mine[name]
            assert value.tobytes() == expected[name].tobytes()
        engine.run({name: np.zeros_like(value) for name, value in self.feeds.items()})
        for name, value in mine.items():
            assert value.tobytes() == expected[name].tobytes()

    def test_buffers_that_do_not_fit_are_refused(self, engine: Engine) -> None:
        name, value = next(iter(engine.run(self.feeds).items()))
        frozen = np.empty_like(value)
        frozen.setflags(write=False)
        larger = np.empty((*value.shape[:-1], value.shape[-1] + 1), value.dtype)
        for wrong in (frozen, value.astype(np.int16), larger, np.repeat(value, 2, -1)[..., ::2], [1]):
            with pytest.raises(InputError, match="buffer"):
                engine.run(self.feeds, into={name: wrong})
        with pytest.raises(InputError, match="buffers are not those"):
            engine.run(self.feeds, into={})

    @pytest.mark.parametrize("depth", [None, 1, 2, 7])
    def test_a_stream_gives_results_in_order(self, engine: Engine, depth: int | None) -> None:
        name, value = next(iter(self.feeds.items()))
        feeds = [{name: (value * 0 + turn).astype(value.dtype)} for turn in range(20)]
        expected = [engine.run(one) for one in feeds]
        for found, right in zip(engine.stream(iter(feeds), depth), expected, strict=True):
            for output in right:
                assert found[output].tobytes() == right[output].tobytes()

    def test_a_stream_gives_what_came_before_a_bad_feed(self, engine: Engine) -> None:
        found = engine.stream([self.feeds, self.feeds, {}, self.feeds], depth=3)
        assert [len(next(found)), len(next(found))] == [len(engine.outputs)] * 2
        with pytest.raises(InputError):
            next(found)
        engine.run(self.feeds)

    def test_a_stream_may_be_left_in_the_middle(self, engine: Engine) -> None:
        next(engine.stream([self.feeds] * 9, depth=4))
        engine.run(self.feeds)
        with pytest.raises(InputError, match="depth"):
            engine.stream([], depth=0)

    def test_threads_may_share_one_engine(self, engine: Engine) -> None:
        name, value = next(iter(self.feeds.items()))

        def ask(turn: int) -> bool:
            feeds = {name: (value * 0 + turn % 8).astype(value.dtype)}
            return all(right[turn % 8][key].tobytes() == got.tobytes() for key, got in engine.run(feeds).items())

        right = [engine.run({name: (value * 0 + turn).astype(value.dtype)}) for turn in range(8)]
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(400)))

    def test_fixed_threads_give_the_same_bits_a_thousand_times(self, graph: Path) -> None:
        with load(self.runtime, graph, self.settings(threads=1)) as engine:
            bits = {b"".join(out.tobytes() for out in engine.run(self.feeds).values()) for _ in range(1000)}
        assert len(bits) == 1

    def test_sizes_outside_the_declared_limits_are_refused(self, graph: Path) -> None:
        name, value = next(iter(self.feeds.items()))
        width = value.shape[-1]
        with load(self.runtime, graph, self.settings()) as engine:
            sizes = zip(engine.inputs[0].shape, value.shape, strict=True)
        limits = {name: tuple(None if size else (have, have + 2) for size, have in sizes)}
        with load(self.runtime, graph, self.settings(limits=limits)) as engine:
            engine.warm_up(2)
            engine.run(self.feeds)
            with pytest.raises(InputError, match=rf"{width}\.\.{width + 2}"):
                engine.run({name: np.repeat(value, 2, -1)})

    @pytest.mark.parametrize("wrong", [((1, 2),), (None, (3, 2)), ((1, 2), (1, 2), (1, 2), (1, 2), (1, 2))])
    def test_limits_that_do_not_fit_the_graph_are_refused(self, graph: Path, wrong: Limits) -> None:
        name = next(iter(self.feeds))
        with pytest.raises(InputError, match="limits"):
            load(self.runtime, graph, self.settings(limits={name: wrong}))
        with pytest.raises(InputError, match="does not take"):
            load(self.runtime, graph, self.settings(limits={"nothing": wrong}))

    def test_in_a_process_of_its_own_it_is_the_same_engine(self, engine: Engine, graph: Path) -> None:
        with load(self.runtime, graph, self.settings(), isolated=True) as isolated:
            assert (isolated.inputs, isolated.outputs) == (engine.inputs, engine.outputs)
            found, right = isolated.run(self.feeds), engine.run(self.feeds)
            mine = {name: np.empty_like(value) for name, value in right.items()}
            isolated.run(self.feeds, into=mine)
            several = list(isolated.stream([self.feeds] * 40, depth=5))
            for name in right:
                assert {one[name].tobytes() for one in (found, mine, *several)} == {right[name].tobytes()}
            there, here = isolated.facts(), engine.facts()
            assert (there.runtime, there.layers, there.device) == (here.runtime, here.layers, here.device)
            assert isolated.layers() == engine.layers()
            with pytest.raises(InputError):
                isolated.run({})
        with pytest.raises(EngineError, match="closed"):
            isolated.run(self.feeds)

    def test_killed_in_its_own_process_it_comes_back(self, graph: Path) -> None:
        with load(self.runtime, graph, self.settings(), isolated=True) as engine:
            assert isinstance(engine, IsolatedEngine)
            right = engine.run(self.feeds)
            os.kill(engine.pid, signal.SIGKILL)
            for part in ("died", "down"):
                with pytest.raises(EngineCrashed, match=part) as caught:
                    engine.run(self.feeds)
                assert "SIGKILL" in str(caught.value.got)
            engine.restart()
            for name, value in engine.run(self.feeds).items():
                assert value.tobytes() == right[name].tobytes()

    def test_a_missing_graph_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=r"gone\.onnx"):
            load(self.runtime, tmp_path / "gone.onnx", self.settings())
