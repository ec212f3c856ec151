"""Go-back-N, decision by decision and against a network that loses, doubles and delays."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from edgemill_link.window import RESEND_FIRST, RESEND_MOST, Window


def test_room_shrinks_with_what_is_under_way() -> None:
    window = Window(10, 100)
    assert (window.sent, window.room()) == (10, 100)
    window.sending(70, 0)
    assert window.room() == 40
    window.acknowledge(50, False, 1)
    assert (window.acknowledged, window.sent, window.room()) == (50, 70, 80)


def test_an_acknowledgement_may_be_ahead_of_what_this_window_sent() -> None:
    window = Window(0, 100)
    window.acknowledge(40, False, 0)
    assert (window.acknowledged, window.sent) == (40, 40)


def test_an_old_acknowledgement_changes_nothing() -> None:
    window = Window(0, 100)
    window.sending(50, 0)
    window.acknowledge(50, False, 0)
    window.acknowledge(20, False, 1)
    assert (window.acknowledged, window.sent) == (50, 50)


def test_it_steps_back_once_however_often_it_is_asked() -> None:
    window = Window(20, 100)
    window.sending(90, 0)
    window.acknowledge(20, True, 10)
    assert window.sent == 20
    window.sending(80, 10.1)
    window.acknowledge(20, True, 10.2)
    assert window.sent == 80
    window.acknowledge(20, True, 11)
    assert window.sent == 20


def test_a_consumer_that_lost_its_store_gets_everything_again() -> None:
    window = Window(500, 100)
    window.acknowledge(0, True, 10)
    assert (window.acknowledged, window.sent) == (0, 0)


@pytest.mark.parametrize("before", ["connected", "tick"])
def test_it_is_asked_again_right_after_a_step_back_of_its_own(before: str) -> None:
    window = Window(500, 100)
    window.sending(520, 0)
    if before == "connected":
        window.connected(RESEND_FIRST)
    else:
        assert window.tick(RESEND_FIRST)
    window.acknowledge(0, True, RESEND_FIRST + 0.01)
    assert (window.acknowledged, window.sent) == (0, 0)


def test_silence_sends_again_ever_less_often_until_there_is_progress() -> None:
    window, now, waits = Window(0, 100), 0.0, []
    window.sending(50, now)
    for _ in range(8):
        start = now
        while not window.tick(now):
            now += 0.1
        waits.append(now - start)
        window.sending(50, now)
    assert waits[0] == pytest.approx(RESEND_FIRST, abs=0.2)
    assert all(later > earlier - 0.2 for earlier, later in pairwise(waits))
    assert waits[-1] == pytest.approx(RESEND_MOST, abs=0.2)
    window.acknowledge(10, False, now)
    assert not window.tick(now + RESEND_FIRST - 0.1)
    assert window.tick(now + RESEND_FIRST)


def test_nothing_under_way_is_never_sent_again() -> None:
    assert not Window(5, 100).tick(1e9)


@pytest.mark.parametrize("seed", range(30))
def test_a_bad_network_delivers_everything_once_and_in_order(seed: int) -> None:
    rng = random.Random(seed)
    window, now, have, taken = Window(0, 20), 0.0, 0, []
    wire: list[tuple[float, str, int, int]] = []
    while have < 300 and now < 5000:
        now += 0.1
        window.tick(now)
        if rng.random() < 0.01:
            wire.clear()
            window.connected(now)
        while window.room() and window.sent < 300:
            first, last = window.sent + 1, min(window.sent + rng.randint(1, window.room()), 300)
            window.sending(last, now)
            for _ in range(rng.choice((0, 1, 1, 1, 2))):
                wire.append((now + rng.random() * 3, "batch", first, last))
        for message in sorted(m for m in wire if m[0] <= now):
            wire.remove(message)
            _, kind, first, last = message
            if kind == "ack":
                window.acknowledge(first, bool(last), now)
                continue
            again = first > have + 1
            if not again and last > have:
                taken.extend(range(have + 1, last + 1))
                have = last
            if rng.random() < 0.8:
                wire.append((now + rng.random() * 3, "ack", have, int(again)))
    assert taken == list(range(1, 301))
