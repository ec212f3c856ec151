"""What a controller's counter says, and what it is answered. Pure functions."""

from __future__ import annotations

CODES = {"pass": 1, "reject": 2, "uncertain": 3, "score": 4}
REGISTER_BITS = 16
SAFE = 8
"""Added to the code of a verdict that no engine gave."""


def parts_between(last: int, now: int, bits: int) -> int | None:
    """How many parts came while a counter of so many bits went from ``last`` to ``now``; it may have begun again at 0.

    Returns:
        ``None`` if it rather went back than over half of its range forward: the controller was started again.
    """
    span = 1 << bits
    risen = (now - last) % span
    return risen if risen < span // 2 else None


def came_since(answered: int, now: int, bits: int) -> int | None:
    """As ``parts_between``, from the last count that was answered; a register holds its lower 16 bits only."""
    bits = REGISTER_BITS if answered < 1 << REGISTER_BITS <= now else bits
    return parts_between(answered % (1 << bits), now % (1 << bits), bits)


def counted(last: int, more: int, bits: int) -> int:
    """The counter's value of the part that came ``more`` parts after ``last``."""
    return (last + more) % (1 << bits)


def further(one: int | None, other: int | None, bits: int, most: int = 1000) -> int | None:
    """The later of two counts; ``other`` if it is ahead by no more than ``most``, because then both are of one run."""
    if one is None or other is None:
        return other if one is None else one
    ahead = parts_between(one % (1 << bits), other % (1 << bits), bits)
    return other if ahead is not None and ahead <= most else one


def code_of(decision: str, safe: bool) -> int:
    """What stands at the point ``code``."""
    return CODES[decision] + (SAFE if safe else 0)
