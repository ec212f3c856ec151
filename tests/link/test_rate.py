"""No more comes in any stretch of time than was said, and a little at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from static_server import serving

from edgemill_link.trust.rate import Rate
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import HttpSource

RATE, AT_ONCE = 1_000, 2_000


class Time:
    """Goes on when somebody sleeps, and when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@given(some.lists(some.tuples(some.floats(0, 10), some.integers(0, 5_000)), max_size=30))
def test_in_any_stretch_of_time_no_more_is_let_through(asked: list[tuple[float, int]]) -> None:
    time = Time()
    rate = Rate(RATE, AT_ONCE, time.clock, time.sleep)
    let = []
    for pause, count in asked:
        time.now += pause
        before = time.now
        assert rate.let(count) == pytest.approx(time.now - before)
        let.append((time.now, count))
    for first in range(len(let)):
        for last in range(first, len(let)):
            seconds = let[last][0] - let[first][0]
            among = sum(count for _, count in let[first + 1 : last + 1])
            assert among <= RATE * seconds + AT_ONCE + 1e-3


@given(some.lists(some.integers(1, 3_000), min_size=1, max_size=30))
def test_nothing_waits_longer_than_it_must(counts: list[int]) -> None:
    time = Time()
    rate = Rate(RATE, AT_ONCE, time.clock, time.sleep)
    for count in counts:
        rate.let(count)
    assert time.now - 100.0 == pytest.approx(max(0.0, (sum(counts) - AT_ONCE) / RATE))


def test_a_pause_saves_up_no_more_than_a_little() -> None:
    time = Time()
    rate = Rate(RATE, AT_ONCE, time.clock, time.sleep)
    time.now += 1_000
    assert rate.let(AT_ONCE) == 0
    assert rate.let(500) == pytest.approx(0.5)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "a").write_bytes(bytes(200_000))
    with serving(tmp_path) as address:
        yield address


def test_a_server_is_read_no_faster_and_waiting_is_not_taken_for_slowness(url: str) -> None:
    time = Time()
    source = HttpSource(
        url, least_rate=RATE * 2, grace_s=20, clock=time.clock, rate=Rate(RATE, 0, time.clock, time.sleep)
    )
    for _ in range(2):
        assert len(source.read("a", 1 << 20)) == 200_000
    assert time.now - 100.0 == pytest.approx(400.0)


def test_one_that_is_slow_by_itself_is_so_all_the_same(url: str) -> None:
    time = Time()

    def clock() -> float:
        time.now += 50
        return time.now

    source = HttpSource(url, least_rate=RATE * 5, grace_s=20, clock=clock, rate=Rate(1e9, 1, time.clock, time.sleep))
    with pytest.raises(Refused) as caught:
        source.read("a", 1 << 20)
    assert caught.value.attack is Attack.SLOW
