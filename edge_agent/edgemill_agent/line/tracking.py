"""Which part is at the ejector, by the belt's encoder. No I/O and no clock: what is seen, and when, comes in.

The encoder counts the belt's way in ``bits`` bits and begins again at 0. Its count is followed beyond that, so each
part has a place on one endless belt. A part is thrown out at the look at which the belt has carried it nearest to
``distance`` from where it was seen, and only within ``window`` of that; beyond, another part may lie there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

MOST_PARTS = 1000
"""Between trigger and ejector; more are no parts."""


@dataclass(frozen=True)
class Seen:
    """What the encoder said when a part was seen.

    Attributes:
        encoder: its count.
        spread: counts that the belt had gone since the look before: so much earlier the part may have come.
        at_ns: when it was read, by the monotonic clock.
    """

    encoder: int
    spread: int
    at_ns: int


class Call(Enum):
    """What is to be done about a part."""

    EJECT = "eject"
    """It was rejected, and is at the ejector: throw it out now."""
    DECIDE = "decide"
    """It is at the ejector and has no verdict: it gets the safe one now."""
    GONE = "gone"
    """It ought to have been thrown out, and it cannot be any more; ``fault`` says why."""


@dataclass(eq=False)
class Way:
    """A part's way to the ejector.

    Attributes:
        seen: where it was seen.
        place: on the endless belt, once the encoder was read after that.
        reject: whether it is to be thrown out; ``None`` while nobody knows.
        fault: why it cannot be thrown out.
    """

    seen: Seen
    place: int | None = None
    reject: bool | None = None
    fault: str = ""


def moved(before: int, now: int, bits: int) -> int:
    """Counts that the belt went, forward or (negative) back, the shorter way round."""
    half = 1 << (bits - 1)
    return (now - before + half) % (2 * half) - half


class Tracking:
    """The parts between trigger and ejector.

    Args:
        distance: counts from trigger to ejector.
        window: counts by which a part may be away when it is thrown out.
        bits: of the encoder.
        fastest: counts per second that the belt never exceeds: an encoder that went further than that has jumped, and
            then nobody knows where the parts are.
    """

    def __init__(self, distance: int, window: int, bits: int, fastest: float) -> None:
        self._distance, self._window, self._bits, self._fastest = distance, window, bits, fastest
        self._ways: list[Way] = []
        self._at = self._step = self._read_ns = 0
        self._encoder: int | None = None

    def expect(self, seen: Seen | None) -> Way:
        """A part was seen; ``None`` if nobody knows where the belt was."""
        way = Way(seen or Seen(0, 0, 0))
        if seen is None:
            way.fault = "nobody knows where the belt was when it came"
        elif seen.spread > self._window:
            way.fault = f"the belt went {seen.spread} counts between two looks: where it lies is not known well enough"
        if len(self._ways) < MOST_PARTS:
            self._ways.append(way)
        else:
            way.fault = f"{MOST_PARTS} parts are between trigger and ejector already"
        return way

    def see(self, encoder: int, now_ns: int) -> None:
        """The encoder was read."""
        span = 1 << self._bits
        encoder %= span
        if self._encoder is not None:
            step = moved(self._encoder, encoder, self._bits)
            if self._is_jump(step, now_ns - self._read_ns):
                self._lose(f"the encoder jumped from {self._encoder} to {encoder}, or was not read for too long")
            self._step = step
            self._at += step
        self._encoder, self._read_ns = encoder, now_ns
        for way in self._ways:
            if way.place is None and not way.fault:
                back = moved(way.seen.encoder % span, encoder, self._bits)
                if self._is_jump(back, now_ns - way.seen.at_ns):
                    way.fault = "the encoder was not read for too long after it came, or jumped"
                way.place = self._at - back

    def blind(self, now_ns: int) -> None:
        """The encoder cannot be read; after a while it may have gone round, and nobody knows how far the belt went."""
        for way in self._ways:
            if self._is_jump(0, now_ns - (way.seen.at_ns if way.place is None else self._read_ns)):
                way.fault = way.fault or "the encoder was not read for too long"

    def calls(self) -> Iterator[tuple[Way, Call]]:
        """What is to be done now; a part is named each time, until ``done`` or ``judge`` says what became of it."""
        for way in list(self._ways):
            call = self._call(way)
            if call is not None:
                yield way, call

    def judge(self, way: Way, reject: bool) -> None:
        """The part has its verdict; one that is not rejected goes its way."""
        way.reject = reject
        if not reject:
            self.done(way)

    def done(self, way: Way) -> None:
        """It was thrown out, or is not to be followed any further."""
        if way in self._ways:
            self._ways.remove(way)

    def went(self, way: Way) -> int | None:
        """Counts that the belt carried the part since it was seen."""
        return None if way.place is None else self._at - way.place

    def __len__(self) -> int:
        return len(self._ways)

    def _call(self, way: Way) -> Call | None:
        went = self.went(way)
        there = not way.fault and went is not None and self._is_there(went)
        if way.reject is None:  # where nobody knows how far it is, its deadline gives it a verdict
            return Call.DECIDE if there else None
        if there and went is not None and went > self._distance + self._window:
            way.fault = f"it was seen {went - self._distance} counts beyond the ejector, not within {self._window}"
        if way.fault:
            return Call.GONE
        return Call.EJECT if there else None

    def _is_there(self, went: int) -> bool:
        """Whether this look is the one nearest to the ejector, so far as the belt goes on as it did."""
        short = self._distance - went
        return short <= 0 or (short <= self._window and abs(short - max(0, self._step)) > short)

    def _is_jump(self, step: int, took_ns: int) -> bool:
        """Whether the belt cannot have gone so far, or may have gone round the encoder, in this time."""
        farthest = self._window + self._fastest * max(0, took_ns) / 1e9
        return abs(step) > farthest or farthest >= 1 << (self._bits - 1)

    def _lose(self, why: str) -> None:
        for way in self._ways:
            way.fault = way.fault or why
