"""Card, bill of materials, provenance and needs of real bundles: valid, the same from the same, and no more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from onnx import TensorProto, helper, numpy_helper
from tiny_text import write_workshop

from edgemill_converters.build import build
from edgemill_converters.card_settings import CardSettings
from edgemill_converters.chaining import ChainResult
from edgemill_converters.chaining.card import chain_card
from edgemill_converters.importers.versions import READABLE
from edgemill_converters.papers import licences
from edgemill_converters.papers.cards import in_words
from edgemill_converters.papers.licences import licence_of
from edgemill_converters.papers.needs import least_version
from edgemill_converters.papers.provenance import recipe_said
from edgemill_converters.papers.sbom import bill_of_materials
from edgemill_converters.papers.sets import balance
from edgemill_converters.papers.tools import parts, tools_used
from edgemill_converters.raw_weights import LEAST_BYTES, write_apart
from edgemill_converters.recipe import read_recipe
from edgemill_converters.result import BuildResult
from edgemill_core.bundle import PAPERS, PROVENANCE, SBOM, Bundle, card_of, export_bundle, import_bundle, open_bundle
from edgemill_core.bundle.bill import counts, read_bill
from edgemill_core.durable import sha256_file
from edgemill_core.errors import BundleError, RecipeError
from edgemill_core.picture_input import PictureInput
from edgemill_core.row_input import RowInput
from edgemill_core.samples import Sample, TrueBox, Truth
from edgemill_core.tensor_input import TensorInput
from edgemill_runtimes.machine import this_machine

INT8 = [{"runtime": "onnxruntime", "precisions": ["int8"]}]
SAID = {
    "description": "Reads A and B.",
    "intended_use": "Labels | of line 3",
    "limits": ["Only A and B.", "Not\nby night."],
    "contact": "line3@plant.example",
    "licence": {"model": "apache-2.0", "data": "LicenseRef-plant"},
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Built by itself, with everything said that can be."""
    folder = tmp_path_factory.mktemp("said")
    bundle = build(write_workshop(folder, targets=INT8, card=SAID), folder / "out").bundle
    assert bundle is not None
    return bundle


@pytest.fixture
def bundle(which: str, request: pytest.FixtureRequest) -> Bundle:
    """Of a model of which its author said nothing, of a chain, or of a model of which everything is said."""
    found = request.getfixturevalue({"model": "built", "chain": "chained", "said": "said"}[which])
    return found if isinstance(found, Bundle) else found.bundle


def bill_of(bundle: Bundle) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(bundle.path(SBOM).read_text())
    return told


def components(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in part.get("components", ()):
        yield one
        yield from components(one)


# Bill of materials


@pytest.mark.parametrize("which", ["model", "chain", "said"])
def test_the_bill_is_valid_by_the_schemas_own_library(bundle: Bundle, which: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert bill_of(bundle)["specVersion"] == SchemaVersion.V1_6.to_version()
    assert validator.validate_str(bundle.path(SBOM).read_text()) is None
    spoiled = {**bill_of(bundle), "serialNumber": "urn:uuid:none"}
    assert validator.validate_str(json.dumps(spoiled)) is not None


@pytest.mark.parametrize("which", ["model", "chain", "said"])
def test_the_bill_lists_every_file_but_itself_with_its_digest(bundle: Bundle, which: str) -> None:
    listed = {one["name"]: one["hashes"] for one in components(bill_of(bundle)) if one["type"] == "file"}
    assert listed == {
        name: [{"alg": "SHA-256", "content": entry.sha256}]
        for name, entry in bundle.manifest.files.items()
        if name != SBOM
    }


@pytest.mark.parametrize("which", ["model", "chain", "said"])
def test_every_reference_of_the_bill_leads_somewhere_and_every_one_once(bundle: Bundle, which: str) -> None:
    bill = bill_of(bundle)
    own = bill["metadata"]["component"]
    refs = [own["bom-ref"], *(one["bom-ref"] for one in components(bill))]
    assert len(set(refs)) == len(refs)
    asked = {ref for one in bill["dependencies"] for ref in [one["ref"], *one["dependsOn"]]}
    asked |= {one["ref"] for one in own["modelCard"]["modelParameters"]["datasets"]}
    assert asked <= set(refs)
    runtimes = {one.runtime for model in bundle.manifest.models for one in model.variants}
    assert runtimes <= {one["name"] for one in components(bill) if one["type"] == "library"}


def test_the_bill_knows_the_model_its_licence_its_sets_and_its_tools(said: Bundle) -> None:
    bill = bill_of(said)
    found = {one["name"]: one for one in components(bill)}
    assert found["tiny.onnx"]["licenses"] == [{"expression": "Apache-2.0"}]
    assert found["judge set"]["licenses"] == [{"expression": "LicenseRef-plant"}]
    assert {"name": "edgemill:samples", "value": "150"} in found["judge set"]["properties"]
    tools = {one["name"]: one for one in bill["metadata"]["tools"]["components"]}
    assert set(tools) == {"edgemill", "numpy", "onnx", "onnxruntime", "opencv-python-headless"}
    assert all(one["version"] and one["licenses"] for one in tools.values())
    model_card = bill["metadata"]["component"]["modelCard"]
    assert model_card["considerations"]["technicalLimitations"] == list(SAID["limits"])
    assert {one["type"] for one in model_card["quantitativeAnalysis"]["performanceMetrics"]} == {
        "escape_rate",
        "overkill_rate",
    }
    assert counts(read_bill(said)) == {"data": 2, "file": 11, "library": 4, "machine-learning-model": 2}


def test_a_bundle_that_two_stages_are_of_stands_in_the_bill_once(chained: ChainResult) -> None:
    assert chained.bundle is not None
    card, manifest = card_of(chained.bundle), chained.bundle.manifest
    assert card is not None
    twice = card.model_copy(update={"sources": (*card.sources, card.sources[0])})
    bill = bill_of_materials(twice, manifest.models, manifest.files)
    refs = [one["bom-ref"] for one in components(bill)]
    assert len(set(refs)) == len(refs)


def test_the_bill_of_a_chain_names_its_stages_bundles(chained: ChainResult, built: BuildResult) -> None:
    assert chained.bundle is not None
    assert built.bundle is not None
    found = {one["name"]: one for one in components(bill_of(chained.bundle))}
    digest = built.bundle.manifest.content_digest
    assert found["tiny-1.0.0"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert "stages/read/sbom.cdx.json" in found
    assert {"find/onnxruntime-cpu-int8", "read/openvino-cpu-fp32"} & set(found)


def test_a_bill_that_is_none_is_said_to_be_none(said: Bundle, tmp_path: Path) -> None:
    copy = Bundle(tmp_path, said.manifest)
    for content in (b"{", b"[]", b"\xff", b"[" * 100_000):
        (tmp_path / SBOM).write_bytes(content)
        with pytest.raises(BundleError, match="bill of materials cannot be read"):
            read_bill(copy)
        (tmp_path / "card.json").write_bytes(content)
        with pytest.raises(BundleError, match="card cannot be read"):
            card_of(copy)


# The same from the same, and nothing of the machine


def test_the_same_inputs_elsewhere_give_the_same_content(said: Bundle, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    again = build(write_workshop(tmp_path / "elsewhere", targets=INT8, card=SAID), tmp_path / "o").bundle
    assert again is not None
    assert again.manifest.files == said.manifest.files
    assert again.manifest.content_digest == said.manifest.content_digest
    assert again.path(SBOM).read_bytes() == said.path(SBOM).read_bytes()
    assert not [path for path in (tmp_path / "o").iterdir() if path.name.startswith(".edgemill-build")]


def test_the_same_measurements_give_the_same_file(said: Bundle, tmp_path: Path) -> None:
    again = build(
        write_workshop(tmp_path, targets=INT8, card=SAID), tmp_path / "o", cache=said.folder.parent / ".edgemill-cache"
    )
    assert again.bundle is not None
    export_bundle(said, tmp_path / "1.edgemill")
    export_bundle(again.bundle, tmp_path / "2.edgemill")
    assert (tmp_path / "1.edgemill").read_bytes() == (tmp_path / "2.edgemill").read_bytes()


@pytest.mark.parametrize("which", ["model", "chain"])
def test_a_real_bundle_goes_into_one_file_and_back(bundle: Bundle, which: str, tmp_path: Path) -> None:
    export_bundle(bundle, tmp_path / "1.edgemill")
    back = import_bundle(tmp_path / "1.edgemill", tmp_path / "there")
    assert open_bundle(back.folder).manifest == bundle.manifest
    export_bundle(back, tmp_path / "2.edgemill")
    assert (tmp_path / "1.edgemill").read_bytes() == (tmp_path / "2.edgemill").read_bytes()


@pytest.mark.parametrize("which", ["model", "chain", "said"])
def test_no_paper_tells_of_the_machine_or_the_day(bundle: Bundle, which: str) -> None:
    import getpass
    import platform
    import socket

    texts = [bundle.path(name).read_text() for name in bundle.manifest.files if Path(name).name in PAPERS]
    assert len(texts) == (12 if which == "chain" else 4)
    told = "\n".join(texts)
    host = [name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 5]
    cpu = str(this_machine().cpu)
    for word in (str(bundle.folder.parent), "/tmp", platform.release(), "p50_ms", "memory_mb", "cores", cpu, *host):
        assert word not in told, word
    assert not re.search(r"\b20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", told)


def test_a_path_from_the_root_says_no_more_than_its_name(tmp_path: Path) -> None:
    recipe = read_recipe(write_workshop(tmp_path, model=str(tmp_path / "tiny.onnx"), targets=INT8))
    told = recipe_said(recipe)
    assert told["model"]["file"] == "tiny.onnx"
    assert str(tmp_path) not in json.dumps(told)
    assert told["data"]["judge"]["labels"] == "judge"


# Provenance


@pytest.mark.parametrize("which", ["model", "chain", "said"])
def test_provenance_is_a_statement_of_what_was_built_from_what(bundle: Bundle, which: str) -> None:
    told = json.loads(bundle.path(PROVENANCE).read_text())
    assert (told["_type"], told["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    files = {one["name"]: one["digest"]["sha256"] for one in told["subject"]}
    assert files == {name: entry.sha256 for name, entry in bundle.manifest.files.items() if name not in PAPERS}
    dependencies = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {one["annotations"]["kind"] for one in dependencies} == {
        "data set",
        "bundle" if bundle.chain else "model",
    }
    assert told["predicate"]["runDetails"]["builder"]["version"]["edgemill"]


def test_the_recipe_in_the_provenance_builds_the_same(said: Bundle, tmp_path: Path) -> None:
    told = json.loads(said.path(PROVENANCE).read_text())["predicate"]["buildDefinition"]["externalParameters"]["recipe"]
    write_workshop(tmp_path)
    (tmp_path / "again.yaml").write_text(json.dumps(told))
    assert recipe_said(read_recipe(tmp_path / "again.yaml")) == told
    digests = {one.name: one.digest for one in (card_of(said) or pytest.fail("no card")).sources}
    assert digests == {"tiny.onnx": sha256_file(tmp_path / "tiny.onnx")}


# The card


def test_the_card_says_what_the_author_said_and_what_was_judged(said: Bundle) -> None:
    text = said.path("card.md").read_text()
    for words in (
        "# tiny 1.0.0",
        "Reads A and B.",
        "- Not by night.",
        "line3@plant.example",
        "| the model | Apache-2.0 |",
    ):
        assert words in text
    card = card_of(said)
    assert card is not None
    assert [(one.role, one.samples, one.balance) for one in card.sets] == [
        ("calibration", 8, {"bad": 4, "good": 4}),
        ("judge", 150, {"bad": 75, "good": 75}),
    ]
    figures = {one.metric: (one.samples, one.reference, one.value, one.allowed) for one in card.judged}
    assert figures == {"escape_rate": (75, 0, 0, 0.05), "overkill_rate": (75, 0, 0, 0.05)}
    assert all(0 < one.bound <= one.allowed for one in card.judged)


def test_a_card_without_a_word_of_the_author_says_so(built: BuildResult) -> None:
    assert built.bundle is not None
    text = built.bundle.path("card.md").read_text()
    for words in ("gave no description", "did not say what it is for", "named no limits", "| the model | not said |"):
        assert words in text
    judged = {one.variant for one in (card_of(built.bundle) or pytest.fail("no card")).judged}
    assert judged == set(built.choice.shipped)


def test_the_card_of_a_chain_shows_rates_and_stages(chained: ChainResult) -> None:
    assert chained.bundle is not None
    card = card_of(chained.bundle)
    assert card is not None
    assert [stage.name for stage in card.stages] == ["find", "tiny"]
    assert {one.variant for one in card.judged} == {"onnxruntime", "openvino"}
    assert all(one.reference is None and one.value == 0 < one.bound <= 0.05 for one in card.judged)
    assert "stages/" in chained.bundle.path("card.md").read_text()


@pytest.mark.parametrize(
    "card",
    [
        {"licence": "BSD"},
        {"licence": {"model": ""}},
        {"licence": "(" * 300},
        {"licence": {"photos": "MIT"}},
        {"mood": "good"},
        {"description": "x" * 4001},
        {"limits": [1]},
    ],
)
def test_a_card_that_is_wrong_is_refused_with_the_line(tmp_path: Path, card: dict[str, Any]) -> None:
    with pytest.raises(RecipeError) as caught:
        read_recipe(write_workshop(tmp_path, card=card))
    assert re.search(r"recipe\.yaml, line \d+: wrong at 'card", str(caught.value))


def test_short_forms_of_a_card_mean_the_long_ones() -> None:
    short = CardSettings.model_validate({"licence": "mit or apache-2.0", "limits": "by day"})
    long = CardSettings.model_validate({"licence": {"model": "MIT OR Apache-2.0"}, "limits": ["by day"]})
    assert short == long


def truth(good: bool = True, **more: Any) -> Sample:
    return Sample("s", Path("s.png"), truth=Truth(good, **more))


BOX = TrueBox("open", 0, 0, 1, 1)


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        ([], {}),
        ([truth(), truth(), truth(False)], {"good": 2, "bad": 1}),
        ([truth(class_name="cat"), truth(False, class_name="dog")], {"cat": 1, "dog": 1}),
        ([truth(outcome=1.0)], {}),
        ([truth(False, boxes=(BOX, BOX, TrueBox("x", 0, 0, 1, 1, ignored=True)))], {"box: open": 2, "bad": 1}),
        ([Sample("s", Path("s.png"))], {"not labelled": 1}),
    ],
)
def test_kinds_are_counted_by_what_the_label_says(samples: list[Sample], found: dict[str, int]) -> None:
    assert balance(samples) == found
    assert list(balance(samples)) == list(found)


def test_inputs_are_said_in_words() -> None:
    assert in_words(PictureInput(size=(32, 8))) == "pictures, 32 x 8 pixels, rgb"
    assert in_words(RowInput.model_validate({"features": ["a", "b"]})) == "2 numbers"
    assert in_words(TensorInput.model_validate({"tensors": {"x": [1, 3]}})) == "tensors x [1, 3]"


# Tools, licences, needs


def test_tools_are_those_that_were_used_and_no_others() -> None:
    def names(*told: Any) -> set[str]:
        return {part.name for part in tools_used(*told)}

    rows = RowInput.model_validate({"features": ["a"]})
    always = {"edgemill", "numpy", "onnx", "onnxruntime"}
    assert names("ONNX", rows, ["onnxruntime"]) == always
    assert names("LightGBM 4.7.0 by Edgemill", rows, ["onnxruntime"]) == {*always, "lightgbm"}
    assert names("torch 2.13.0", PictureInput(size=(2, 2)), ["openvino"]) == {
        *always,
        "opencv-python-headless",
        "openvino",
    }
    assert names("", rows, ["none of ours"]) == always
    assert parts(["there is no such package"]) == ()


METADATA: list[tuple[dict[str, list[str]], str]] = [
    ({"License-Expression": ["mit"]}, "MIT"),
    ({"License-Expression": ["odd"]}, "odd"),
    ({"License": ["Apache-2.0"], "Classifier": ["License :: OSI Approved :: MIT License"]}, "Apache-2.0"),
    ({"License": ["Apache 2.0"], "Classifier": ["License :: OSI Approved :: Apache Software License"]}, "Apache-2.0"),
    ({"License": ["Our own words"]}, "Our own words"),
    (
        {"License": ["A whole\ntext"], "Classifier": ["License :: Other/Proprietary License"]},
        "Other/Proprietary License",
    ),
    ({"License": ["x" * 200]}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("told", "licence"), METADATA)
def test_licences_come_from_whatever_a_package_says(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, list[str]], licence: str
) -> None:
    from email.message import Message

    message = Message()
    for key, values in told.items():
        for value in values:
            message[key] = value
    licence_of.cache_clear()
    monkeypatch.setattr(licences, "metadata", lambda _: message)
    assert licence_of("made-up") == licence
    licence_of.cache_clear()


def test_a_package_that_is_not_there_has_no_licence() -> None:
    assert licence_of("there-is-no-such-package") == ""


@pytest.mark.parametrize("runtime", list(READABLE))
def test_a_graph_that_the_oldest_release_reads_needs_no_more(runtime: str) -> None:
    floor = READABLE[runtime]
    assert least_version(runtime, floor.opset, floor.ir, "99.1") == floor.release
    assert least_version(runtime, floor.opset + 1, floor.ir, "99.1.0") == "99.1"
    assert least_version(runtime, floor.opset, floor.ir + 1, "99.1+cpu") == "99.1"


def test_of_a_runtime_that_others_added_only_what_was_built_with_is_known() -> None:
    assert least_version("toy", 7, 3, "1.2.0rc1") == "1.2"
    assert least_version("toy", 7, 3, None) is None


@pytest.mark.parametrize("which", ["model", "chain", "said"])
def test_every_variant_says_what_it_needs(bundle: Bundle, which: str) -> None:
    for model in bundle.manifest.models:
        for variant in model.variants:
            assert variant.requires is not None
            assert variant.requires.least == READABLE[variant.runtime].release
            files = bundle.manifest.files
            assert variant.requires.disk_bytes == files[variant.graph].bytes + files[variant.weights].bytes
            assert variant.requires.opset == 17


# Graph and weights


def graph_with(*forms: str) -> tuple[onnx.ModelProto, np.ndarray]:
    """``y = x + (one large tensor in each of these forms)``, and what is added."""
    size = (LEAST_BYTES // 4,)
    added, nodes, initializers, last = np.zeros(size, np.float32), [], [], "x"
    for place, form in enumerate(forms):
        values = np.arange(size[0], dtype=np.float32) + place
        added = added + values
        plain = helper.make_tensor(f"t{place}", TensorProto.FLOAT, size, values)
        tensor = numpy_helper.from_array(values, f"t{place}") if form == "raw" else plain
        if form == "constant":
            nodes.append(helper.make_node("Constant", [], [f"t{place}"], f"c{place}", value=plain))
        else:
            initializers.append(tensor)
        nodes.append(helper.make_node("Add", [last, f"t{place}"], [f"s{place}"], f"a{place}"))
        last = f"s{place}"
    small = numpy_helper.from_array(np.ones(1, np.float32), "small")
    nodes.append(helper.make_node("Mul", [last, "small"], ["y"], "m"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [*initializers, small])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), added


@pytest.mark.parametrize("forms", [(), ("raw",), ("typed",), ("constant",), ("constant", "typed", "raw", "constant")])
def test_large_tensors_of_any_form_leave_the_graph_raw_and_in_order(tmp_path: Path, forms: tuple[str, ...]) -> None:
    import onnxruntime

    model, added = graph_with(*forms)
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        write_apart(copy, tmp_path / name / "graph.onnx", tmp_path / name / "graph.weights")
    for name in ("graph.onnx", "graph.weights"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    weights = (tmp_path / "1" / "graph.weights").read_bytes()
    assert len(weights) == LEAST_BYTES * len(forms)
    assert sorted(np.frombuffer(weights, np.float32).tolist()) == sorted(
        float(value + place) for place in range(len(forms)) for value in range(LEAST_BYTES // 4)
    )
    assert_apart(tmp_path / "1" / "graph.onnx", weights)
    session = onnxruntime.InferenceSession(tmp_path / "1" / "graph.onnx", providers=["CPUExecutionProvider"])
    x = np.ones(LEAST_BYTES // 4, np.float32)
    assert np.array_equal(session.run(None, {"x": x})[0], added + 1)


def assert_apart(graph: Path, weights: bytes) -> None:
    """No large tensor in the graph; those outside lie one behind the other, and nothing between them."""
    model = onnx.load(graph, load_external_data=False)
    end = 0
    for tensor in model.graph.initializer:
        told = {entry.key: entry.value for entry in tensor.external_data}
        if told:
            assert (told["location"], int(told["offset"])) == ("graph.weights", end)
            end += int(told["length"])
        else:
            assert len(tensor.SerializeToString()) < LEAST_BYTES + 100
    assert end == len(weights)
    for node in model.graph.node:
        assert node.op_type != "Constant" or node.ByteSize() < LEAST_BYTES + 100


@pytest.mark.parametrize("which", ["model", "chain", "said"])
def test_graph_and_weights_of_every_variant_are_apart(bundle: Bundle, which: str) -> None:
    for model in bundle.manifest.models:
        for variant in model.variants:
            assert_apart(bundle.path(variant.graph), bundle.path(variant.weights).read_bytes())


def test_a_chain_of_bundles_that_have_no_papers_is_still_described(chained: ChainResult) -> None:
    assert chained.bundle is not None
    old = []
    for stage in chained.recipe.chain:
        bundle = open_bundle(chained.recipe.path(stage.bundle))
        files = {name: entry for name, entry in bundle.manifest.files.items() if name not in PAPERS}
        old.append(Bundle(bundle.folder, bundle.manifest.model_copy(update={"files": files})))
    card = chain_card(chained.recipe, old, chained.samples, chained.runtimes)
    assert [(stage.name, stage.licence) for stage in card.stages] == [("find", ""), ("tiny", "")]
