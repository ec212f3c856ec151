"""Why something is not believed: one word for each attack, so that reports can count them."""

from __future__ import annotations

from enum import Enum

from edgemill_core.errors import TrustError


class Attack(str, Enum):
    """What it would be if it were on purpose; each may also be a mistake."""

    NOT_METADATA = "not metadata"
    WRONG_KEY = "not signed by enough of the right keys"
    ROLLBACK = "older than what was seen"
    FREEZE = "expired"
    FAST_FORWARD = "a version far ahead"
    MIX_AND_MATCH = "not what the snapshot lists"
    ENDLESS = "more than may come"
    SLOW = "too slow"
    ALTERED = "other bytes than were signed for"
    MISSING = "not there"
    ANOTHER_DEVICE = "for another device"
    WITHDRAWN = "not listed any more"


class Refused(TrustError):  # noqa: N818 (it is said by the box, not by a mistake of ours)
    """Something was not believed; what was trusted before stays.

    Attributes:
        attack: which kind.
    """

    def __init__(self, attack: Attack, what: str, *, expected: str, got: str, fix: str) -> None:
        super().__init__(what, expected=expected, got=got, fix=fix)
        self.attack = attack
