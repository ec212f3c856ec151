"""What a free-running camera hands out, and to whom: pure bookkeeping."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from edgemill_agent.line.part import Part
from edgemill_agent.line.wants import Wants
from edgemill_agent.sources.base import Arrival
from edgemill_agent.workers.newest import Newest


class Desk:
    """A ``Newest`` that notes what it gives, and takes a slot for it."""

    def __init__(self, slots: int, wants: list[tuple[int, int]]) -> None:
        self.free = deque(range(slots))
        self.given: list[tuple[str, int]] = []
        self.counted: Counter[str] = Counter()
        self.newest = Newest(self._give, self.free, wants)

    def _give(self, arrival: Arrival, want: int, counted: dict[str, int]) -> None:
        self.free.popleft()
        self.counted.update(counted)
        self.given.append((arrival.item, want))

    def came(self, at_ns: int, damaged: bool = False) -> None:
        self.newest.came(Arrival(str(at_ns), captured_ns=at_ns, damaged=damaged))

    def counts(self) -> dict[str, int]:
        """Told with frames, and left to be told."""
        return dict(self.counted + Counter(self.newest.counted()))

    def hear(self, **message: Any) -> None:
        self.newest.hear(message, lambda told: self.free.append(told["free"]))


def test_only_the_newest_frame_is_kept_and_the_others_are_counted() -> None:
    desk = Desk(4, [])
    for at_ns in (10, 20, 30):
        desk.came(at_ns)
    desk.hear(want=1, at_ns=0)
    desk.hear(want=2, at_ns=0)
    assert desk.given == [("30", 1)]
    desk.came(40)
    assert desk.given == [("30", 1), ("40", 2)]
    assert desk.counted == {"captured": 4, "dropped": 2}
    desk.came(50)
    assert desk.newest.counted() == {"captured": 1, "dropped": 0}
    assert desk.newest.counted() == {"captured": 0, "dropped": 0}


def test_a_part_gets_the_first_frame_captured_at_or_after_its_trigger() -> None:
    desk = Desk(4, [])
    desk.came(99)
    desk.hear(want=1, at_ns=100)
    assert desk.given == []
    desk.came(100)
    desk.came(101)
    assert desk.given == [("100", 1)]


def test_each_of_several_parts_gets_a_frame_of_its_own_in_their_order() -> None:
    desk = Desk(4, [(1, 100), (2, 100), (3, 250)])
    for at_ns in (110, 120, 130, 260):
        desk.came(at_ns)
    assert desk.given == [("110", 1), ("120", 2), ("260", 3)]
    assert desk.counts() == {"captured": 4, "dropped": 1}


def test_a_frame_waits_for_a_slot_and_the_newest_one_gets_it() -> None:
    desk = Desk(1, [(1, 0), (2, 0)])
    for at_ns in (10, 20, 30):
        desk.came(at_ns)
    assert desk.given == [("10", 1)]
    desk.hear(free=0)
    assert desk.given == [("10", 1), ("30", 2)]


def test_what_is_not_wanted_any_more_is_not_given() -> None:
    desk = Desk(4, [(1, 100), (2, 200)])
    desk.hear(unwant=1)
    desk.came(150)
    desk.came(210)
    assert desk.given == [("210", 2)]


def test_a_damaged_frame_is_dropped_and_does_not_displace_a_whole_one() -> None:
    desk = Desk(4, [])
    desk.came(10)
    desk.came(20, damaged=True)
    desk.hear(want=1, at_ns=0)
    assert desk.given == [("10", 1)]
    assert desk.counts() == {"captured": 2, "dropped": 1}


def test_with_a_trigger_each_part_wants_one_frame_until_it_has_its_verdict() -> None:
    sent: list[Any] = []
    wants = Wants(True, sent.append)
    first, second = Part(5), Part(6)
    wants.of(first, 50)
    wants.of(second, 60)
    wants.again()
    assert sent == [{"want": 1, "at_ns": 50}, {"want": 2, "at_ns": 60}]
    wants.forget(first)
    assert sent[2:] == [{"unwant": 1}]
    assert wants.open == [(2, 60)]
    assert wants.answered(1) == (False, None)  # it was under way when the part became late
    assert wants.answered(2) == (True, second)
    wants.forget(second)
    assert sent[3:] == []


def test_without_a_trigger_one_frame_is_at_the_engine_and_one_ahead() -> None:
    sent: list[Any] = []
    wants = Wants(False, sent.append)
    assert sent == [{"want": 1, "at_ns": 0}, {"want": 2, "at_ns": 0}]
    assert wants.answered(1) == (True, None)
    assert wants.open == [(2, 0)]
    wants.again()
    assert sent[2:] == [{"want": 3, "at_ns": 0}]
