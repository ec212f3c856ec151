"""Numbers of a whole set against their definitions, written down the slow way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemill_core.errors import DataError, RecipeError
from edgemill_core.evidence import ClassScores, Embeddings, Side
from edgemill_core.metrics import family_of, metric_named
from edgemill_core.samples import Truth
from edgemill_core.set_metrics import (
    Statistic,
    area_under_roc,
    calibration_error,
    character_error_rate,
    cosine_distance,
    of_classes,
)
from edgemill_core.set_metrics.drop import compare
from edgemill_core.set_metrics.edit_distance import edit_distance
from edgemill_core.statistics.bootstrap import draws
from edgemill_core.tasks import Classification, Embedding
from edgemill_core.verdict import Decision, Verdict

CLASSES = ("good", "scratch", "dent")
TASK = Classification(classes=CLASSES, fit=("good",))


def named(name: str | None) -> Verdict:
    return Verdict(Decision.PASS, (), 0.9, {} if name is None else {"class": name})


def side(labels: list[str | None], names: list[str | None]) -> Side:
    return Side([Truth(good=label == "good", class_name=label) for label in labels], [named(name) for name in names])


def scored(rows: np.ndarray, labels: list[str | None]) -> Side:
    truths = [Truth(good=label == "good", class_name=label) for label in labels]
    verdicts = [TASK.verdict({TASK.output: row[None]}, {}) for row in rows]
    return Side(truths, verdicts, TASK.scores_of(rows))


def value(statistic: Statistic, count: int) -> float:
    return float(statistic.at(np.ones((count, 1), np.float32))[0])


LABELS = ["good", "good", "good", "scratch", "scratch", "dent", None]
NAMES = ["good", "good", "scratch", "scratch", None, "good", "good"]


class TestByClass:
    @pytest.mark.parametrize(
        ("measure", "only", "wanted"),
        [
            ("precision", "good", 2 / 3),
            ("recall", "good", 2 / 3),
            ("precision", "scratch", 1 / 2),
            ("recall", "scratch", 1 / 2),
            ("f1", "dent", 0.0),
            ("precision", "", (2 / 3 + 1 / 2 + 0) / 3),
            ("recall", "", (2 / 3 + 1 / 2 + 0) / 3),
            ("f1", "", (2 / 3 + 1 / 2 + 0) / 3),
        ],
    )
    def test_by_hand(self, measure: str, only: str, wanted: float) -> None:
        found = of_classes(measure, only)(side(LABELS, NAMES))  # type: ignore[arg-type]
        assert value(found, 7) == pytest.approx(wanted)

    def test_a_class_that_nobody_labelled_says_nothing(self) -> None:
        found = of_classes("f1", "bump")(side(LABELS, NAMES))
        assert np.isnan(value(found, 7))
        assert not np.isfinite(found.each).any()

    def test_the_rarest_class_is_the_one_that_counts(self) -> None:
        assert of_classes("recall")(side(LABELS, NAMES)).rarest.kind == "dent"
        assert of_classes("recall")(side(LABELS, NAMES)).rarest.parts == 3
        # "scratch" is labelled twice and named twice, "dent" once; a class that is named less often weighs more.
        few = of_classes("precision", "good")(side(["good"] * 5 + ["dent"], ["good", "dent"] * 3))
        assert few.rarest.count == 3


def test_a_variant_that_seldom_names_a_class_shows_little_of_its_precision() -> None:
    labels: list[str | None] = ["good"] * 100 + ["dent"] * 100
    seldom: list[str | None] = ["good"] * 195 + ["dent"] * 5
    before, after = (of_classes("precision", "dent")(side(labels, names)) for names in (labels, seldom))
    drop = compare(before, after, True, 0.95)
    assert drop is not None
    assert (drop.reference, drop.variant, drop.rarest.count) == (1, 1, 5)
    assert drop.upper >= drop.allowance == pytest.approx(1 - 0.05 ** (1 / 5))


class TestRanking:
    @given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12))
    def test_against_all_pairs(self, parts: list[tuple[int, bool, int]]) -> None:
        rows = np.array([[level / 4, 1 - level / 4, 0] for level, _, _ in parts], np.float32)
        weights = np.array([[weight] for _, _, weight in parts], np.float32)
        found = area_under_roc(scored(rows, ["good" if good else "dent" for _, good, _ in parts]))
        pairs = [
            (a[2] * b[2], 1.0 if a[0] > b[0] else 0.5 if a[0] == b[0] else 0.0)
            for a in parts
            for b in parts
            if a[1] and not b[1]
        ]
        total = sum(weight for weight, _ in pairs)
        (got,) = found.at(weights)
        assert np.isnan(got) if total == 0 else got == pytest.approx(sum(w * right for w, right in pairs) / total)

    def test_own_parts_average_to_the_whole(self) -> None:
        rng = np.random.default_rng(1)
        rows = rng.dirichlet((1, 1, 1), 200).astype(np.float32)
        labels: list[str | None] = [str(name) for name in rng.choice(CLASSES, 200)]
        found = area_under_roc(scored(rows, labels))
        good = np.array([label == "good" for label in labels])
        for kind in (good, ~good):
            assert found.each[kind].mean() == pytest.approx(value(found, 200))


class TestCalibration:
    def test_by_hand(self) -> None:
        rows = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.3, 0.7, 0], [0.3, 0.7, 0], [0.2, 0.2, 0.6]], np.float32)
        found = calibration_error(scored(rows, ["good", "dent", "scratch", "scratch", None]))
        assert value(found, 5) == pytest.approx((2 * abs(0.5 - 0.9) + 2 * (1 - 0.7)) / 4, abs=1e-6)

    def test_the_lean_is_no_more_than_what_changed(self) -> None:
        rng = np.random.default_rng(2)
        rows = rng.dirichlet((8, 1, 1), 300).astype(np.float32)
        labels: list[str | None] = [str(name) for name in rng.choice(CLASSES, 300)]
        same, shaken = (calibration_error(scored(rows + by, labels)) for by in (0, np.float32([0.01, 0, 0])))
        assert same.lean(same) == 0
        assert 0 < same.lean(shaken) <= 0.0101

    def test_verdicts_alone_are_not_enough(self) -> None:
        for metric in (calibration_error, area_under_roc):
            with pytest.raises(DataError, match="needs what the task does not give"):
                metric(side(["good"], ["good"]))


class TestCharacters:
    @pytest.mark.parametrize(
        ("read", "printed", "edits"),
        [("", "", 0), ("", "ABC", 3), ("ABC", "", 3), ("KITTEN", "SITTING", 3), ("A12", "A1", 1), ("1A2", "A12", 2)],
    )
    def test_edits(self, read: str, printed: str, edits: int) -> None:
        assert edit_distance(read, printed) == edits

    @given(st.text("abc", max_size=7), st.text("abc", max_size=7))
    @settings(max_examples=60)
    def test_against_the_recursion(self, read: str, printed: str) -> None:
        def slow(a: str, b: str) -> int:
            if not a or not b:
                return len(a) + len(b)
            if a[0] == b[0]:
                return slow(a[1:], b[1:])
            return 1 + min(slow(a[1:], b), slow(a, b[1:]), slow(a[1:], b[1:]))

        assert edit_distance(read[:5], printed[:5]) == slow(read[:5], printed[:5])

    def test_of_a_set_and_without_bad_parts(self) -> None:
        truths = [Truth(good=True, text="ABCDEFGH"), Truth(good=True, text="AB"), Truth(good=False, text="XY")]
        read = [Verdict(Decision.PASS, (), 0.9, {"text": text}) for text in ("ABCDEFGX", "A", "")]
        found = character_error_rate(Side(truths, read))
        assert value(found, 3) == pytest.approx(2 / 10)
        assert found.rarest.count == 2


@pytest.mark.parametrize("name", ["f1", "f1@dent", "precision@x y", "auroc", "calibration_error"])
def test_numbers_of_a_set_have_names(name: str) -> None:
    metric = metric_named(name)
    assert metric.name == name
    assert metric.of_set is not None
    assert metric.of_class == name.partition("@")[2]
    assert family_of(name) in TASK.metrics


@pytest.mark.parametrize("name", ["f1@", "auroc@dent", "f2", "@f1"])
def test_there_are_no_others(name: str) -> None:
    with pytest.raises(RecipeError, match="there is no metric"):
        metric_named(name)


def test_rows_without_numbers_are_neither_right_nor_fit() -> None:
    rows = np.array([[0.9, 0.1, 0], [np.nan, 0, 0]], np.float32)
    scores = TASK.scores_of(rows)
    assert scores.fitness.tolist() == pytest.approx([0.9, 0.0])
    assert np.isnan(scores.probabilities[1]).all()
    assert isinstance(scores, ClassScores)


def test_weights_are_the_same_as_samples_that_stand_there_so_often() -> None:
    rng = np.random.default_rng(4)
    rows = rng.dirichlet((2, 1, 1), 40).astype(np.float32)
    labels: list[str | None] = [str(name) for name in rng.choice(CLASSES, 40)]
    times = rng.integers(0, 3, 40)
    again = np.repeat(np.arange(40), times)
    made: list[Callable[[Side], Statistic]] = [of_classes("f1"), area_under_roc, calibration_error]
    for one in made:
        weighted = float(one(scored(rows, labels)).at(times[:, None].astype(np.float32))[0])
        assert weighted == pytest.approx(value(one(scored(rows[again], [labels[i] for i in again])), len(again)))


def test_a_bound_holds_the_bootstrap_s_the_lean_and_the_allowance() -> None:
    rng = np.random.default_rng(6)
    rows = rng.dirichlet((6, 1, 1), 150).astype(np.float32)
    labels: list[str | None] = [str(CLASSES[rng.choice(3, p=row / row.sum())]) for row in rows.astype(np.float64)]
    sure = rows**2 / (rows**2).sum(axis=1, keepdims=True)
    before, after = (calibration_error(scored(one, labels)) for one in (rows, sure))
    drop = compare(before, after, False, 0.95)
    assert drop is not None
    drawn = draws(150, 0.95)
    drops = after.at(drawn) - before.at(drawn)
    lean = before.lean(after)
    assert lean > 0.01
    assert drop.allowance == pytest.approx(1 - 0.05 ** (1 / 150))
    assert drop.upper >= np.quantile(drops, 0.95) + lean + drop.allowance
    assert drop.upper >= 2 * drop.seen - np.quantile(drops, 0.05) + lean + drop.allowance
    assert drop.lower <= np.quantile(drops, 0.05) - drop.allowance


def a_few_turned(rng: np.random.Generator) -> tuple[Statistic, Statistic, float]:
    """2 % of the vectors turn round: 2 each."""
    rows = np.tile([1.0, 0.0], (100, 1))
    turned = np.where(rng.random(100) < 0.02, -1, 1)[:, None] * rows
    before, after = (
        cosine_distance(Side([Truth(good=True)] * 100, [], Embeddings(one), Embeddings(rows))) for one in (rows, turned)
    )
    return before, after, 2 * 0.02


def a_few_long_codes_lost(rng: np.random.Generator) -> tuple[Statistic, Statistic, float]:
    """A tenth of the codes has twenty characters, the others two; a fifth of the long ones is not read."""
    long = np.arange(100) % 10 == 0
    truths = [Truth(good=True, text="A" * (20 if one else 2)) for one in long]
    lost = long & (rng.random(100) < 0.2)
    readings = [{"text": "" if gone else truth.text} for gone, truth in zip(lost, truths, strict=True)]
    right = [Verdict(Decision.PASS, (), 0.9, {"text": truth.text}) for truth in truths]
    wrong = [Verdict(Decision.PASS, (), 0.9, reading) for reading in readings]
    first, second = (character_error_rate(Side(truths, read)) for read in (right, wrong))
    return first, second, 0.2 * 10 * 20 / (10 * 20 + 90 * 2)


@pytest.mark.parametrize(("world", "most"), [(a_few_turned, 2.0), (a_few_long_codes_lost, 20 / 3.8)])
def test_samples_that_weigh_more_are_allowed_for(
    world: Callable[[np.random.Generator], tuple[Statistic, Statistic, float]], most: float
) -> None:
    """The true drop is often not seen at all: in 0.98 ** 100 = 13 % of sets, or 0.8 ** 10 = 11 %."""
    rng, missed = np.random.default_rng(12), 0
    for _ in range(60):
        before, after, true = world(rng)
        drop = compare(before, after, False, 0.95)
        assert drop is not None
        assert drop.most == pytest.approx(most)
        assert drop.allowance == pytest.approx(most * (1 - 0.05 ** (1 / 100)))
        missed += drop.upper < true
    assert missed <= 6  # 60 times 5 % is 3; more than six would come by chance in 3 % of such tests


class TestVectors:
    BEFORE = Embeddings(np.array([[1.0, 0], [0, 1], [0.6, 0.8], [1, 0]]))

    def distances(self, after: list[list[float]]) -> Statistic:
        truths = [Truth(good=True)] * 4
        return cosine_distance(Side(truths, [], Embeddings(np.array(after, np.float64)), self.BEFORE))

    def test_by_hand(self) -> None:
        found = self.distances([[1, 0], [1, 0], [1.2, 1.6], [-1, 0]])
        assert found.each == pytest.approx([0, -1, 0, -2])
        assert value(found, 4) == pytest.approx(0.75)

    def test_what_is_no_vector_is_far(self) -> None:
        assert self.distances([[np.nan, 0], [0, 0], [0.6, 0.8], [1, 0]]).each == pytest.approx([-1, -1, 0, 0])

    def test_the_verdict_does_not_carry_the_vector(self) -> None:
        task = Embedding()
        rows = np.random.default_rng(1).normal(size=(2, 1, 384)).astype(np.float32)
        verdicts = [task.verdict({"embedding": row}, {}) for row in (*rows, rows[0])]
        assert verdicts[0].reading == verdicts[2].reading
        assert verdicts[0].reading != verdicts[1].reading
        assert verdicts[0].decision is Decision.SCORE
        assert len(str(verdicts[0].as_dict())) < 120
        assert task.verdict({"embedding": rows[0] * np.float32("nan")}, {}).broken
