"""What bundles say of a box, of a card, and of one another: pure functions, without files."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from small_bundle import NEEDS, make_manifest

from edgemill_core.bundle import Card, FileEntry, Manifest, Requirements, difference, parse_manifest, schema_version
from edgemill_core.bundle.bill import counts
from edgemill_core.bundle.card import JudgedCard
from edgemill_core.bundle.requirements import Box, check_agent, in_words, lacks, release
from edgemill_core.durable import canonical_json
from edgemill_core.errors import BundleError

# What a box lacks

VERSIONS = ["1.19.9", "1.20", "1.20.0", "1.20.1", "1.100", "2", "2026.4.1", "1.20.0rc1", "1.19.0+cpu"]
TOO_OLD = {"1.19.9", "1.19.0+cpu"}


@pytest.mark.parametrize(
    ("python", "runtime"), list(product(["3.9.18", "3.10.0", "3.10", "3.12.1"], [*VERSIONS, None]))
)
def test_every_version_is_told_from_the_one_that_is_needed(python: str, runtime: str | None) -> None:
    found = lacks(NEEDS, "onnxruntime", Box(python, runtime))
    words = [one.what for one in found]
    assert words == (["this Python is too old"] if python == "3.9.18" else []) + (
        ["this onnxruntime is too old"] if runtime in TOO_OLD else []
    )
    for one in found:
        assert one.got.endswith((python, str(runtime)))
    if runtime in TOO_OLD:
        assert found[-1].expected == "onnxruntime 1.20 or newer, because the graph is of opset 17, IR version 8"


def test_where_nobody_knows_nothing_is_said() -> None:
    unknown = NEEDS.model_copy(update={"least": None})
    assert lacks(unknown, "toy", Box("3.11.4", "0.1")) == ()


@given(st.lists(st.integers(0, 999), min_size=1, max_size=4), st.lists(st.integers(0, 999), min_size=1, max_size=4))
def test_versions_are_ordered_as_numbers(a: list[int], b: list[int]) -> None:
    left, right = (".".join(map(str, one)) for one in (a, b))
    longest = max(len(a), len(b))
    padded = [one + [0] * (longest - len(one)) for one in (a, b)]
    assert (release(left) < release(right)) == (padded[0] < padded[1])
    assert (release(left) == release(right)) == (padded[0] == padded[1])


def test_idle_zeros_make_no_version_older() -> None:
    needed = NEEDS.model_copy(update={"least": "2025.0"})
    assert lacks(needed, "openvino", Box("3.11", "2025")) == ()
    assert len(lacks(needed, "openvino", Box("3.11", "2024.6.0"))) == 1


def test_needs_are_said_in_words() -> None:
    assert in_words(NEEDS, "onnxruntime") == "onnxruntime 1.20 or newer, Python 3.10 or newer"
    words = in_words(None, "openvino", "x86_64-dot", "bf16")
    assert words == "openvino, a processor with bf16, judged on x86_64-dot"
    planned = NEEDS.model_copy(update={"least": "1.7", "built_with": "1.8.2"})
    assert in_words(planned, "tensorrt_rtx", has_plans=True).startswith("tensorrt_rtx 1.8.2 for its plans, Python")
    assert in_words(NEEDS.model_copy(update={"least": None}), "toy") == "toy, Python 3.10 or newer"


@pytest.mark.parametrize("least", ["", "1.x", "1.20; rm", "1." * 30 + "1", "１.20"])
def test_a_version_that_is_none_is_refused(least: str) -> None:
    with pytest.raises(ValidationError):
        Requirements(**{**NEEDS.model_dump(), "least": least})


# Schema


def test_only_a_bundle_that_says_what_it_needs_is_of_the_newest_schema() -> None:
    plain, needy = make_manifest().models, make_manifest(requires=NEEDS).models
    assert schema_version(plain) == "1.0"
    assert schema_version(needy) == "1.4"
    assert b"requires" not in canonical_json(plain[0].model_dump(mode="json"))
    assert parse_manifest(canonical_json(make_manifest(requires=NEEDS).model_dump(mode="json"))).models == needy


def test_a_bundle_that_was_built_before_there_were_requirements_reads_and_has_the_digest_it_had() -> None:
    raw = make_manifest().model_dump(mode="json")
    assert "requires" not in raw["models"][0]["variants"][0]
    assert parse_manifest(canonical_json(raw)).content_digest == make_manifest().content_digest


@pytest.mark.parametrize(
    ("version", "todo"), [("1.6", "update Edgemill"), ("1.5", "from somebody you trust"), ("1." + "9" * 5000, "update")]
)
def test_a_key_of_a_newer_minor_version_asks_for_a_newer_edgemill(version: str, todo: str) -> None:
    raw = {**make_manifest().model_dump(mode="json"), "schema_version": version, "unheard_of": 1}
    with pytest.raises(BundleError) as caught:
        parse_manifest(json.dumps(raw).encode())
    assert todo in str(caught.value.fix)


# Cards and bills


def test_what_a_newer_card_says_more_of_is_passed_over() -> None:
    told = Card(name="b", version="1.0.0", task={}, input="pictures").model_dump(mode="json")
    assert Card.model_validate({**told, "mood": "good"}) == Card.model_validate(told)


def test_a_card_says_of_stand_ins_only_where_there_are_any() -> None:
    told = Card(name="b", version="1.0.0", task={}, input="pictures").model_dump(mode="json")
    assert "stand_ins" not in told
    told["stand_ins"] = {"tensorrt-gpu-int8": "onnxruntime 1"}
    assert Card.model_validate(told).model_dump(mode="json") == told


def test_components_are_counted_at_every_depth() -> None:
    bill = {"components": [{"type": "file"}, {"type": "data", "components": [{"type": "file"}, "odd"]}, 3]}
    assert counts(bill) == {"data": 1, "file": 2}
    assert counts({"components": None}) == {}


# Differences


def files(**contents: str) -> dict[str, FileEntry]:
    return {name: FileEntry(sha256=content * 64, bytes=ord(content)) for name, content in contents.items()}


def judged(value: float) -> JudgedCard:
    return JudgedCard(
        variant="v", metric="exact_rate", samples=9, reference=1, value=value, bound=0, allowed=0.1, confidence=0.9
    )


def card(*values: float) -> Card:
    return Card(name="b", version="1", task={}, input="", judged=tuple(map(judged, values)))


def test_a_bundle_does_not_differ_from_itself_whatever_its_records_say() -> None:
    one = make_manifest(files=files(a="a", b="b"))
    other = one.model_copy(update={"records": files(report="f")})
    found = difference(one, other, card(1.0), card(1.0))
    assert found.same
    assert (found.keys, found.files, found.judged) == ((), (), ())
    assert found.equal == ("a", "b")
    assert found.held_bytes == found.bytes_b == ord("a") + ord("b")
    assert [(one.samples, one.differ) for one in found.golden] == [(2, ())]


def test_files_are_told_apart_by_content_and_what_a_box_holds_by_content_anywhere() -> None:
    a = make_manifest(files=files(same="a", changed="b", gone="c", moved="d"))
    b = make_manifest(files=files(same="a", changed="e", new="f", elsewhere="d", twice="d"))
    found = difference(a, b)
    assert {one.name: (one.a, one.b) for one in found.files} == {
        "changed": (98, 101),
        "gone": (99, None),
        "moved": (100, None),
        "new": (None, 102),
        "elsewhere": (None, 100),
        "twice": (None, 100),
    }
    assert found.equal == ("same",)
    assert found.bytes_b == 97 + 101 + 102 + 100
    assert found.held_bytes == 97 + 100
    assert not found.same


KEYS: list[tuple[dict[str, Any], str, Any, Any]] = [
    ({"version": "2.0.0"}, "version", "1.0.0", "2.0.0"),
    ({"precision": "int8"}, "models.b.variants.v.precision", "fp32", "int8"),
    ({"cpu": "arm"}, "models.b.variants.v.cpu", None, "arm"),
    ({"requires": NEEDS}, "models.b.variants.v.requires.opset", None, 17),
    ({"name": "w"}, "models.b.variants.w.name", None, "w"),
]


@pytest.mark.parametrize(("change", "key", "a", "b"), KEYS)
def test_each_key_that_differs_is_named_with_both_values(change: dict[str, Any], key: str, a: Any, b: Any) -> None:
    found = {one.key: (one.a, one.b) for one in difference(make_manifest(), make_manifest(**change)).keys}
    assert found[key] == (a, b)
    back = {one.key: (one.a, one.b) for one in difference(make_manifest(**change), make_manifest()).keys}
    assert back == {name: (after, before) for name, (before, after) in found.items()}


@pytest.mark.parametrize(
    ("after", "differ"), [(("pass", "reject"), ()), (("pass", "pass"), (1,)), (("uncertain", "pass"), (0, 1))]
)
def test_golden_decisions_are_compared_one_by_one(after: tuple[str, ...], differ: tuple[int, ...]) -> None:
    asked = files(**{"golden/inputs.npy": "a"})
    found = difference(make_manifest(files=asked), make_manifest(files=asked, decisions=after))
    assert [(one.variant, one.samples, one.differ) for one in found.golden] == [("v", 2, differ)]
    assert not [key for key in found.keys if "decisions" in key.key]


def test_decisions_on_other_samples_are_not_compared() -> None:
    one, two = (make_manifest(files=files(**{"golden/inputs.npy": content})) for content in "ab")
    assert [(g.samples, g.differ) for g in difference(one, two).golden] == [(0, ())]
    other = make_manifest(decisions=("pass",))
    assert [g.samples for g in difference(make_manifest(), other).golden] == [0]


def test_variants_of_one_side_alone_have_no_decisions_to_compare() -> None:
    assert difference(make_manifest(), make_manifest(name="w")).golden == ()


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (card(1.0), card(1.0), []),
        (card(1.0), card(0.5), [(1.0, 0.5)]),
        (card(1.0), None, [(1.0, None)]),
        (None, card(0.5), [(None, 0.5)]),
        (None, None, []),
    ],
)
def test_figures_are_compared_by_variant_and_metric(
    a: Card | None, b: Card | None, told: list[tuple[float | None, float | None]]
) -> None:
    found = difference(make_manifest(), make_manifest(), a, b)
    assert [(one.a and one.a.value, one.b and one.b.value) for one in found.judged] == told
    assert json.loads(json.dumps(found.as_dict()))["judged"] == [
        {
            "variant": "v",
            "metric": "exact_rate",
            "a": one.a and one.a.model_dump(mode="json"),
            "b": one.b and one.b.model_dump(mode="json"),
        }
        for one in found.judged
    ]


def test_the_order_of_variants_is_a_difference_that_is_said_as_one() -> None:
    two = make_manifest()
    model = two.models[0]
    other = model.variants[0].model_copy(update={"name": "w"})

    def ordered(*variants: Any) -> Manifest:
        return two.model_copy(update={"models": (model.model_copy(update={"variants": variants}),)})

    found = difference(ordered(model.variants[0], other), ordered(other, model.variants[0]))
    assert [one.key for one in found.keys] == ["models.b.best first"]


@pytest.mark.parametrize(
    ("least", "here", "may"),
    [
        ("0.1.0", "0.1.0", True),
        ("0.1", "0.1.0", True),
        ("0.2.0", "0.10.0", True),
        ("0.2.0", "0.1.9", False),
        ("1", "0.9", False),
        ("99.0.0", None, True),
    ],
)
def test_a_bundle_for_a_newer_edgemill_is_refused(least: str, here: str | None, may: bool) -> None:
    if may:
        check_agent(least, here)
        return
    with pytest.raises(BundleError, match="newer Edgemill") as told:
        check_agent(least, here)
    assert told.value.fix == "update Edgemill on this machine"
