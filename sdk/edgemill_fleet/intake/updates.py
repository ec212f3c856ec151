"""What a device's ledger says of updates, taken over into rollouts: its word counts once it is on record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from edgemill_core.ledger import Kind, Record
from edgemill_fleet.rollouts.waves import Course, Member, Outcome, heard_of
from edgemill_fleet.store.tables import MemberRow, RolloutRow

_OUTCOMES = {"committed": Outcome.TOOK, "refused": Outcome.REFUSED, "rolled back": Outcome.ROLLED_BACK}
_MOST_WHY = 500


@dataclass(frozen=True)
class Word:
    """How an update of a device ended, as its ledger says."""

    device: str
    name: str
    version: str
    outcome: Outcome
    why: str


def words_of(device: str, records: Iterable[Record]) -> list[Word]:
    """Those that say how an update ended, in their order. A record that says something else is passed over."""
    found = []
    for record in records:
        if record.header.kind is Kind.UPDATE and record.payload is not None:
            word = _word(device, record)
            if word is not None:
                found.append(word)
    return found


def hear_words(session: Session, words: Iterable[Word], now_s: float) -> None:
    """Write what these words change in rollouts of their release; the last one of a device counts."""
    last = {(word.device, word.name, word.version): word for word in words}
    releases = sorted({(name, version) for _, name, version in last})
    for name, version in releases:
        of_it = {word.device: word for word in last.values() if (word.name, word.version) == (name, version)}
        _hear(session, name, version, of_it, now_s)


def _hear(session: Session, name: str, version: str, words: dict[str, Word], now_s: float) -> None:
    begun = select(RolloutRow.id).where(
        RolloutRow.name == name, RolloutRow.version == version, RolloutRow.course != Course.DRAFT.value
    )
    held = session.execute(begun.order_by(RolloutRow.id).with_for_update()).scalars().all()
    members = select(MemberRow).where(MemberRow.rollout.in_(held), MemberRow.device.in_(words))
    for row in session.execute(members).scalars():
        word = words[row.device]
        before = Member(row.device, row.wave, Outcome(row.outcome), row.since_s)
        after = heard_of(before, word.outcome, now_s)
        if after is not before:
            row.outcome, row.since_s, row.why = after.outcome.value, after.since_s, word.why
    session.flush()


def _word(device: str, record: Record) -> Word | None:
    assert record.payload is not None
    try:
        told = record.payload.content()
        outcome = _OUTCOMES.get(str(told["state"]))
        name, version, why = str(told["name"]), str(told["version"]), str(told.get("why", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if outcome is None or max(len(name), len(version)) > 64:
        return None
    plain = [word.encode("utf-8", "replace").decode().replace("\0", "") for word in (name, version, why)]
    return Word(device, plain[0], plain[1], outcome, plain[2][:_MOST_WHY])
