"""Which part is at the ejector: by hand, and against a belt that is simulated in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_agent.line.tracking import MOST_PARTS, Call, Seen, Tracking, Way, moved

LOOK_NS = 5_000_000
DISTANCE, WINDOW = 1200, 40
FASTEST = 2 * WINDOW / 0.005


@dataclass
class Belt:
    """A belt with an ejector; its encoder begins anywhere. ``thrown`` holds each part's way when it was thrown out."""

    bits: int = 16
    place: int = 0
    begin: int = 0
    now_ns: int = LOOK_NS
    late_verdict: bool = True
    thrown: dict[Way, int] = field(default_factory=dict)
    decided: list[Way] = field(default_factory=list)
    gone: dict[Way, str] = field(default_factory=dict)
    places: dict[Way, int] = field(default_factory=dict)
    step: int = 0
    sped_up: bool = False

    def __post_init__(self) -> None:
        self.tracking = Tracking(DISTANCE, WINDOW, self.bits, FASTEST)
        self.go(0)

    @property
    def encoder(self) -> int:
        return (self.begin + self.place) % (1 << self.bits)

    def part(self, reject: bool | None = True, spread: int = 0) -> Way:
        way = self.tracking.expect(Seen(self.encoder, spread, self.now_ns))
        self.places[way] = self.place
        if reject is not None:
            self.tracking.judge(way, reject)
        return way

    def go(self, counts: int, took_ns: int = LOOK_NS) -> None:
        """The belt goes on by so much from one look to the next."""
        self.step, self.sped_up = counts, counts > self.step
        self.place += counts
        self.now_ns += took_ns
        self.tracking.see(self.encoder, self.now_ns)
        for way, call in self.tracking.calls():
            if call is Call.DECIDE:
                assert way not in self.decided, "a part is decided once"
                self.decided.append(way)
                self.tracking.judge(way, self.late_verdict)
        for way, call in self.tracking.calls():
            assert call is not Call.DECIDE
            if call is Call.EJECT:
                assert way not in self.thrown, "a part is thrown out once"
                assert abs(self.place - self.places[way] - DISTANCE) <= WINDOW
                self.thrown[way] = self.place - self.places[way]
            else:
                self.gone[way] = way.fault
            self.tracking.done(way)

    def run(self, counts: int, step: int) -> None:
        for _ in range(counts // step):
            self.go(step)


@pytest.mark.parametrize("begin", [0, 100, 65_000, 65_535])
@pytest.mark.parametrize("step", [1, 7, 39, 80])
def test_a_rejected_part_is_thrown_out_at_the_look_nearest_to_the_ejector(begin: int, step: int) -> None:
    belt = Belt(begin=begin)
    part = belt.part()
    belt.run(2000, step)
    assert not belt.gone
    nearest = min(range(step, 2000, step), key=lambda went: abs(went - DISTANCE))
    assert abs(belt.thrown[part] - DISTANCE) == abs(nearest - DISTANCE)


def test_a_part_that_passed_goes_its_way() -> None:
    belt = Belt()
    belt.part(reject=False)
    belt.run(3000, 20)
    assert not belt.thrown
    assert not belt.gone
    assert not len(belt.tracking)


def test_several_parts_between_trigger_and_ejector_each_in_its_turn() -> None:
    belt, parts = Belt(), []
    for number in range(60):
        parts.append(belt.part(reject=number % 3 == 0))
        belt.run(100, 20)
    belt.run(1400, 20)
    assert list(belt.thrown) == parts[::3]
    assert set(belt.thrown.values()) == {DISTANCE}


def test_a_belt_that_stands_still_throws_nothing_out_until_it_goes_on() -> None:
    belt = Belt()
    part = belt.part()
    belt.run(1180, 20)
    for _ in range(1000):
        belt.go(0)
    assert not belt.thrown
    belt.go(1)
    assert not belt.thrown  # so slowly the next look will be nearer
    belt.run(40, 5)
    assert abs(belt.thrown[part] - DISTANCE) <= 5


def test_a_belt_that_goes_back_a_little_throws_out_once() -> None:
    belt = Belt()
    part = belt.part()
    belt.run(1190, 10)
    for step in (-30, 30, -5, 12, -12, 12, -12, 12):
        belt.go(step)
    assert list(belt.thrown) == [part]
    belt.run(300, 10)
    assert not belt.gone


def test_a_part_without_a_verdict_is_decided_at_the_ejector_and_thrown_out_there() -> None:
    belt = Belt()
    part = belt.part(reject=None)
    belt.run(1180, 20)
    assert not belt.decided
    belt.run(100, 20)
    assert belt.decided == [part]
    assert abs(belt.thrown[part] - DISTANCE) <= 20


def test_a_part_without_a_verdict_whose_safe_verdict_is_no_reject_goes_its_way() -> None:
    belt = Belt(late_verdict=False)
    part = belt.part(reject=None)
    belt.run(2000, 20)
    assert belt.decided == [part]
    assert not belt.thrown
    assert not len(belt.tracking)


def test_a_look_that_comes_too_late_says_how_far_the_part_was_beyond() -> None:
    belt = Belt()
    rejected, unknown, passed = belt.part(), belt.part(reject=None), belt.part(reject=False)
    belt.run(1100, 20)
    belt.go(150, 10 * LOOK_NS)
    assert belt.decided == [unknown]
    assert not belt.thrown
    assert set(belt.gone) == {rejected, unknown}
    assert belt.gone[rejected] == "it was seen 50 counts beyond the ejector, not within 40"
    assert passed not in belt.gone


@pytest.mark.parametrize("jump", [500, -500, 32_767, -32_768])
def test_an_encoder_that_jumps_throws_out_nothing_that_was_on_the_way(jump: int) -> None:
    belt = Belt()
    before, unknown = belt.part(), belt.part(reject=None)
    belt.run(1000, 20)
    belt.begin += jump
    belt.go(20)
    assert "jumped" in belt.gone[before]
    after = belt.part()
    belt.run(1300, 20)
    assert list(belt.thrown) == [after]
    assert unknown.reject is None  # its deadline gives it a verdict
    belt.tracking.judge(unknown, True)
    belt.go(1)
    assert unknown in belt.gone


def test_an_encoder_that_was_not_read_for_so_long_that_it_may_have_gone_round() -> None:
    belt = Belt()
    part = belt.part()
    belt.run(500, 20)
    belt.go(65_536 + 20, 5_000_000_000)
    assert not belt.thrown
    assert "not read for too long" in belt.gone[part]


def test_a_short_outage_of_the_encoder_costs_nothing() -> None:
    belt = Belt()
    part = belt.part()
    belt.run(500, 20)
    belt.go(600, 500_000_000)
    belt.run(200, 20)
    assert belt.thrown == {part: 1200}


def test_an_encoder_that_is_blind_for_good_lets_its_parts_go() -> None:
    belt = Belt()
    part, waits = belt.part(), belt.tracking.expect(Seen(belt.encoder, 0, belt.now_ns + LOOK_NS))
    belt.go(20)
    late = belt.tracking.expect(Seen(belt.encoder, 0, belt.now_ns))  # the encoder is never read after it
    for way in (waits, late):
        belt.tracking.judge(way, True)
    belt.tracking.blind(belt.now_ns + 1_000_000_000)
    assert not list(belt.tracking.calls())
    belt.tracking.blind(belt.now_ns + 3_000_000_000)
    assert dict(belt.tracking.calls()) == dict.fromkeys((part, waits, late), Call.GONE)


def test_where_the_belt_was_must_be_known_well_enough() -> None:
    belt = Belt()
    parts = [belt.part(spread=WINDOW), belt.part(spread=WINDOW + 1), belt.tracking.expect(None)]
    belt.tracking.judge(parts[2], True)
    belt.run(1300, 20)
    assert list(belt.thrown) == parts[:1]
    assert set(belt.gone) == set(parts[1:])


def test_no_more_parts_are_followed_than_can_be() -> None:
    belt = Belt()
    ways = [belt.part() for _ in range(MOST_PARTS + 3)]
    assert len(belt.tracking) == MOST_PARTS
    assert [way.fault != "" for way in ways] == [False] * MOST_PARTS + [True] * 3


def test_the_shorter_way_round() -> None:
    for bits in (16, 32):
        half = 1 << (bits - 1)
        for begin in (0, 1, half, 2 * half - 1):
            for step in (0, 1, -1, 500, half - 1, -half):
                assert moved(begin, (begin + step) % (2 * half), bits) == step


STEPS = st.lists(st.one_of(st.integers(0, 2 * WINDOW), st.integers(-15, 15), st.just(0)), min_size=20, max_size=200)


@settings(max_examples=300, deadline=None)
@given(
    bits=st.sampled_from([16, 32]),
    begin=st.integers(0, (1 << 32) - 1),
    steps=STEPS,
    comes=st.lists(st.integers(0, 12), min_size=1, max_size=20),
    verdicts=st.lists(st.sampled_from([True, False, None]), min_size=20, max_size=20),
    delays=st.lists(st.integers(0, 80), min_size=20, max_size=20),
)
def test_whatever_the_belt_does_each_rejected_part_that_passes_the_ejector_is_thrown_out_once(
    bits: int, begin: int, steps: list[int], comes: list[int], verdicts: list[bool | None], delays: list[int]
) -> None:
    """Within its window, or it is declared; nobody else's; and a part without a verdict is decided there."""
    belt = Belt(bits, begin=begin % (1 << bits))
    due = {sum(comes[: place + 1]): place for place in range(len(comes))}
    judged: list[tuple[int, Way, bool]] = []
    parts: dict[Way, bool | None] = {}
    for turn, step in enumerate([*steps, *[WINDOW] * 60]):
        if turn in due:
            verdict = verdicts[due[turn]]
            way = belt.part(None)
            parts[way] = verdict
            if verdict is not None:
                judged.append((turn + delays[due[turn]], way, verdict))
        for when, way, verdict in judged:
            if when == turn and way.reject is None:
                belt.tracking.judge(way, verdict)
        missed = len(belt.gone)
        belt.go(step)
        assert len(belt.gone) == missed or belt.sped_up, "no step is longer than two windows: only a jerk hides a part"
    for way, verdict in parts.items():
        passed = belt.place - belt.places[way] > DISTANCE
        if verdict is False and way not in belt.decided:
            assert way not in belt.thrown
        elif passed and (verdict is True or way in belt.decided):
            assert (way in belt.thrown) != (way in belt.gone)
        if way in belt.thrown:
            assert abs(belt.thrown[way] - DISTANCE) <= WINDOW


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.integers(-70_000, 70_000), min_size=1, max_size=60),
    took=st.lists(st.integers(0, 10**10), min_size=60, max_size=60),
)
def test_whatever_is_read_a_part_is_thrown_out_or_declared_or_still_on_its_way(
    steps: list[int], took: list[int]
) -> None:
    tracking = Tracking(DISTANCE, WINDOW, 16, FASTEST)
    now, encoder, ended, ways = 0, 0, [], []
    for step, time_ns in zip(steps, took, strict=False):
        now, encoder = now + time_ns, (encoder + step) & 0xFFFF
        ways.append(tracking.expect(Seen(encoder, 0, now)))
        tracking.judge(ways[-1], True)
        tracking.see(encoder, now)
        for way, call in tracking.calls():
            went = tracking.went(way)
            assert call is Call.GONE or (went is not None and abs(went - DISTANCE) <= WINDOW)
            tracking.done(way)
            ended.append(way)
    assert len(ended) == len(set(ended))
    assert len(ended) + len(tracking) == len(ways)
