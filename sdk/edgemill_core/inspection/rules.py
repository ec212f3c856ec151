"""Rules over findings: how many of which kind may or must be where. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from edgemill_core.inspection.findings import Finding
from edgemill_core.validation import Strict
from edgemill_core.verdict import Decision

Share = Annotated[float, Field(ge=0, le=1)]


class Band(Strict):
    """Where a score stops being nothing, and where it begins to be sure.

    Attributes:
        uncertain_from: below it a finding does not count.
        sure_from: from here on it counts; in between nobody can say.
    """

    uncertain_from: float = 0.5
    sure_from: float = 0.5

    @model_validator(mode="after")
    def _rises(self) -> Band:
        if self.sure_from < self.uncertain_from:
            raise ValueError("sure_from is not below uncertain_from")
        return self


class Zone(Strict):
    """A rectangle, in shares of the width and height of the region that the model looks at."""

    left: Share = 0.0
    top: Share = 0.0
    right: Share = 1.0
    bottom: Share = 1.0

    @model_validator(mode="after")
    def _has_room(self) -> Zone:
        if self.left >= self.right or self.top >= self.bottom:
            raise ValueError("left is less than right, and top less than bottom")
        return self

    def holds(self, point: tuple[float, float]) -> bool:
        """Whether the point lies in it; its right and bottom edges belong to the neighbour, but for the picture's."""
        x, y = point
        in_x = self.left <= x < self.right or (self.right == 1.0 and x >= 1.0)
        return in_x and (self.top <= y < self.bottom or (self.bottom == 1.0 and y >= 1.0))


class Rule(Strict):
    """How many findings there may be, or must be.

    Attributes:
        classes: kinds that count; all of them if none is named.
        zone: a finding counts if its centre lies here; anywhere if not said.
        min_area: smaller ones do not count, as a share of the region that the model looks at.
        max_area: nor do larger ones.
        at_least: so many there must be.
        at_most: so many there may be.
        band: the task's, if not said.
    """

    classes: tuple[str, ...] = ()
    zone: Zone | None = None
    min_area: Share = 0.0
    max_area: Share = 1.0
    at_least: Annotated[int, Field(ge=0)] = 0
    at_most: Annotated[int, Field(ge=0)] | None = None
    band: Band | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if self.at_least == 0 and self.at_most is None:
            raise ValueError("a rule says at_least, at_most or both")
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError("at_most is not below at_least")
        if self.min_area > self.max_area:
            raise ValueError("max_area is not below min_area")
        return self

    def counts(self, finding: Finding) -> bool:
        """Whether it is one of those that this rule is about, however sure."""
        return (
            (not self.classes or finding.kind in self.classes)
            and self.min_area <= finding.area <= self.max_area
            and (self.zone is None or self.zone.holds(finding.box.centre))
        )


@dataclass(frozen=True)
class Ruling:
    """What the rules make of the findings.

    Attributes:
        confidence: in the decision, 0 to 1, by the score of the finding that it hangs on; of an uncertain one, that
            the part is fit.
    """

    decision: Decision
    reasons: tuple[str, ...]
    confidence: float


def decide(findings: Sequence[Finding], rules: Sequence[Rule], band: Band) -> Ruling:
    """Reject if a rule is surely broken, else uncertain if one may be, else pass.

    The true number of things lies between that of the sure findings and that of the possible ones: a rule holds if
    it would for every such number, and is broken if it would be for every one.
    """
    looked = [_look(findings, rule, rule.band or band) for rule in rules]
    for decision, which in ((Decision.REJECT, max), (Decision.UNCERTAIN, min)):
        found = [ruling for ruling in looked if ruling.decision is decision]
        if found:
            reasons = tuple(reason for ruling in found for reason in ruling.reasons)
            return Ruling(decision, reasons, which(ruling.confidence for ruling in found))
    return Ruling(Decision.PASS, (), min((ruling.confidence for ruling in looked), default=1.0))


def _look(findings: Sequence[Finding], rule: Rule, band: Band) -> Ruling:
    counting = sorted((finding for finding in findings if rule.counts(finding)), key=lambda finding: -finding.score)
    sure = sum(finding.score >= band.sure_from for finding in counting)
    possible = sum(finding.score >= band.uncertain_from for finding in counting)
    most = possible if rule.at_most is None else rule.at_most
    holds = _holds(counting, rule)
    if rule.at_least <= sure and possible <= most:
        return Ruling(Decision.PASS, (), holds)
    count = f"{sure}" if sure == possible else f"{sure} to {possible}"
    if possible > most:
        reason = f"{count} {_what(rule)}, at most {most} allowed{_named(counting[:possible])}"
    else:
        reason = f"{count} {_what(rule)}, at least {rule.at_least} needed"
    if sure > most or possible < rule.at_least:
        return Ruling(Decision.REJECT, (reason,), 1 - holds)
    return Ruling(Decision.UNCERTAIN, (reason,), holds)


def _holds(counting: Sequence[Finding], rule: Rule) -> float:
    """How sure it is that the rule holds: that the last one needed is there, and the first one too many is not."""
    scores = [min(1.0, max(0.0, finding.score)) for finding in counting]
    scores += [0.0] * (max(rule.at_least, rule.at_most or 0) + 1 - len(scores))
    needed = scores[rule.at_least - 1] if rule.at_least else 1.0
    too_many = 0.0 if rule.at_most is None else scores[rule.at_most]
    return min(needed, 1 - too_many)


def _what(rule: Rule) -> str:
    where = "" if rule.zone is None else " in the zone"
    return (" or ".join(rule.classes) or "found") + where


def _named(findings: Sequence[Finding]) -> str:
    return ": " + ", ".join(f"{finding.kind} {finding.score:.2f}" for finding in findings[:3])


def check_rules(rules: Sequence[Rule], classes: Sequence[str]) -> None:
    """Refuse rules about classes that the model does not have.

    Raises:
        ValueError: naming them.
    """
    unknown = sorted({name for rule in rules for name in rule.classes} - set(classes))
    if unknown:
        raise ValueError(f"a rule is about classes that the model does not have: {', '.join(unknown)}")
