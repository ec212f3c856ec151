"""Every name and signature of TensorRT's that our code uses is in the real bindings of each version.

The real bindings are not ours to ship: ``.ci/run`` downloads them, and ``EDGEMILL_TENSORRT_WHEELS`` says where they
are. Without them, the checker itself is tested on small stand-ins.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state
from tensorrt_surface import questions, stub_library
from tensorrt_surface.checking import Complaint, complaints
from tensorrt_surface.importing import Imported
from tensorrt_surface.misspelling import misspelled
from tensorrt_surface.misuses import MISUSES, PIECES
from tensorrt_surface.rewriting import takes_tensorrt
from tensorrt_surface.signatures import Parameter, signatures, split
from tensorrt_surface.small_stubs import SMALL_STUBS
from tensorrt_surface.stub_file import stub
from tensorrt_surface.type_names import TypeNames
from tensorrt_surface.versions import VERSIONS, Bindings

ROOT = Path(__file__).resolve().parents[2]
SOURCES = tuple(ROOT / floor for floor in ("sdk", "converters", "runtimes", "edge_agent"))
WHEELS = os.environ.get("EDGEMILL_TENSORRT_WHEELS", "")

Verdicts = dict[str, list[Complaint]]


def skips_without(compiler: str | None, wheels: str) -> bool:
    """Whether there is no compiler, and nobody asked for what takes one: who names the wheels does, and is to fail."""
    return compiler is None and not wheels


with_compiler = pytest.mark.skipif(
    skips_without(stub_library.compiler(), WHEELS), reason="no C compiler: cc, gcc or clang"
)
with_wheels = pytest.mark.skipif(
    not WHEELS,
    reason="the real bindings are not here: EDGEMILL_TENSORRT_WHEELS says where their wheels are, see .ci/run",
)


def ours() -> dict[str, str]:
    """Those files of ours that are handed the bindings, by module."""
    files = (file for floor in SOURCES for file in sorted(floor.rglob("*.py")))
    found = {file: file.read_text("utf-8") for file in files}
    return {
        ".".join(
            file.relative_to(next(floor for floor in SOURCES if floor in file.parents)).with_suffix("").parts
        ): text
        for file, text in found.items()
        if "trt" in text and takes_tensorrt(text)
    }


def judged(stubs: dict[str, str], folder: Path) -> Verdicts:
    """What is said of the pieces of code, and of each misuse of one of them."""
    wrong = {}
    for name, misuse in MISUSES.items():
        (piece,) = (piece for piece in PIECES.values() if misuse.right in piece)
        wrong[name] = piece.replace(misuse.right, misuse.wrong)
    modules = {name: f"misuse{number}" for number, name in enumerate(wrong)} | {name: name for name in PIECES}
    found = complaints({modules[name]: piece for name, piece in (wrong | PIECES).items()}, stubs, folder)
    return {name: [one for one in found if one.file == module] for name, module in modules.items()}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """With the small stubs."""
    return judged(SMALL_STUBS, tmp_path_factory.mktemp("small"))


class TestChecker:
    """On small stand-ins for two versions of TensorRT and for TensorRT-RTX."""

    def test_nothing_is_said_of_what_is_right(self, verdicts: Verdicts) -> None:
        assert [one for piece in PIECES for one in verdicts[piece]] == []

    @pytest.mark.parametrize("name", MISUSES)
    def test_it_hears_of(self, name: str, verdicts: Verdicts) -> None:
        assert_said(name, verdicts, tuple(SMALL_STUBS))

    def test_it_says_where(self, verdicts: Verdicts) -> None:
        before, _, _ = PIECES["building"].partition("set_memory_pool_limit(")
        assert [one.line for one in verdicts["a misspelled method"]] == [before.count("\n") + 1]


def assert_said(name: str, verdicts: Verdicts, stubs: tuple[str, ...]) -> None:
    """One misuse is complained of, in the versions that it is wrong in and in no other."""
    misuse = MISUSES[name]
    said = [one for one in verdicts[name] if re.search(misuse.said, one.text)]
    assert said, verdicts[name]
    assert {stub for one in said for stub in one.versions} == {stub for stub in stubs if stub.startswith(misuse.only)}


class TestSignatures:
    """Lines as pybind11 writes them in these bindings."""

    def test_one(self) -> None:
        doc = "parse(self: t.OnnxParser, model: buffer, path: str = None) -> bool\n\n\n    Parse a model.\n"
        (found,) = signatures(doc)
        assert found.parameters == (
            Parameter("self", "t.OnnxParser"),
            Parameter("model", "buffer"),
            Parameter("path", "str", optional=True),
        )
        assert found.returns == "bool"

    def test_several(self) -> None:
        doc = (
            "build(*args, **kwargs)\nOverloaded function.\n\n1. build(self: t.B, network: t.N) -> t.M\n\n"
            "    Builds(it) -> so\n\n2. build(self: t.B, network: t.N, text: object) -> t.M\n"
        )
        assert [len(one.parameters) for one in signatures(doc)] == [2, 3]

    def test_a_property(self) -> None:
        (found,) = signatures("(arg0: t.B, arg1: Callable[[int, str], None]) -> int\n")
        assert found.parameters == (Parameter("self", "t.B"), Parameter("arg1", "Callable[[int, str], None]"))

    def test_none(self) -> None:
        assert (
            list(signatures(None)) == list(signatures("")) == list(signatures("Says nothing of what it takes.")) == []
        )

    def test_commas_within_are_none(self) -> None:
        assert split("a: Dict[int, str] = {1: ','}, b: E = <E.A: 0>, c") == [
            "a: Dict[int, str] = {1: ','}",
            "b: E = <E.A: 0>",
            "c",
        ]


class TestTypeNames:
    names = TypeNames("t.native", {"Dims", "ParserError", "ILogger", "ILogger.Severity"})

    @pytest.mark.parametrize(
        ("text", "argument", "returned"),
        [
            ("int", "typing.SupportsInt", "builtins.int"),
            ("t.native.Dims", "Dims | typing.Sequence[int]", "Dims"),
            ("t.native.ILogger.Severity", "ILogger.Severity", "ILogger.Severity"),
            ("nvonnxparser::IParserError", "ParserError", "ParserError"),
            ("nvinfer1::v_1_0::ILogger", "ILogger", "ILogger"),
            ("List[t.native.Dims]", "typing.Sequence[Dims | typing.Sequence[int]]", "builtins.list[Dims]"),
            ("Tuple[str, bool]", *["builtins.tuple[builtins.str, builtins.bool]"] * 2),
            ("Dims | None", "Dims | typing.Sequence[int] | None", "Dims | None"),
            ("buffer", "typing_extensions.Buffer", "builtins.object"),
            ("std::vector<int>", "builtins.object", "builtins.object"),
            ("nvinfer1::IUnheardOf", "builtins.object", "builtins.object"),
        ],
    )  # fmt: skip
    def test_it_says(self, text: str, argument: str, returned: str) -> None:
        assert (self.names.argument(text), self.names.returned(text)) == (argument, returned)


def test_a_module_of_pybind11_becomes_a_stub() -> None:
    """ONNX Runtime's, which is at hand."""
    known = questions.members(text := stub(onnxruntime_pybind11_state))
    assert {"name", "value", "ORT_ENABLE_ALL"} <= known["GraphOptimizationLevel"]
    missing = {name for name in dir(onnxruntime_pybind11_state.SessionOptions) if not name.startswith("_")}
    assert missing - known["SessionOptions"] == set()
    assert "    def get_providers(self) -> builtins.list[builtins.str]: ...\n" in text
    assert "    ORT_ENABLE_ALL: typing.ClassVar[GraphOptimizationLevel]\n" in text
    assert "    __members__: typing.ClassVar[builtins.dict[builtins.str, typing.Self]]\n" in text
    assert " -> OrtValue | typing.Any: ...\n" in text
    assert "    @enable_profiling.setter\n    def enable_profiling(self, to: builtins.bool, /) -> None: ...\n" in text


@with_compiler
def test_the_stub_library_has_what_the_bindings_ask_for(tmp_path: Path) -> None:
    stub_library.make_libraries(("libnvinfer.so.10",), tmp_path)
    library = ctypes.CDLL(str(tmp_path / "libnvinfer.so.10"))
    for symbol in stub_library.SYMBOLS:
        assert getattr(library, symbol)() == 0


def test_who_asks_for_the_real_bindings_is_not_passed_over_for_want_of_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {(compiler, wheels): skips_without(compiler, wheels) for compiler in (None, "cc") for wheels in ("", "w")}
    assert [each for each, skips in asked.items() if skips] == [(None, "")]
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AssertionError, match="no C compiler"):
        stub_library.make_libraries(("libnvinfer.so.10",), tmp_path)


def test_it_finds_the_files_that_are_handed_the_bindings() -> None:
    assert takes_tensorrt("def build(trt: Any) -> None: ...")
    assert takes_tensorrt("class Engine:\n    def __init__(self) -> None:\n        trt = bindings('tensorrt')\n")
    assert not takes_tensorrt("def build(graph: Path) -> None: 'trt'")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[Bindings, Imported]:
    """Each version, unpacked."""
    folder = tmp_path_factory.mktemp("bindings")
    return {each: Imported(each, Path(WHEELS), folder) for each in VERSIONS}


@pytest.fixture(scope="module")
def stubs(imported: dict[Bindings, Imported]) -> dict[str, str]:
    """Of each version."""
    return {each.stub: it.stub() for each, it in imported.items()}


@pytest.fixture(scope="module")
def real_verdicts(stubs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """With the real ones."""
    return judged(stubs, tmp_path_factory.mktemp("misuses"))


@with_compiler
@with_wheels
class TestRealBindings:
    @pytest.mark.parametrize("bindings", VERSIONS, ids=lambda each: each.pin)
    def test_its_stub_has_all_that_it_has(
        self, bindings: Bindings, imported: dict[Bindings, Imported], stubs: dict[str, str]
    ) -> None:
        has = imported[bindings].has()
        assert has.pop("version") == bindings.version
        known = questions.members(stubs[bindings.stub])
        missing = {f"{cls}.{name}" for cls, names in has.items() for name in names if name not in known[cls]}
        assert missing == {".ctypes", ".os", ".sys", ".warnings", f".{bindings.package.removesuffix('_bindings')}"}
        assert sum(map(len, known.values())) > 2000

    def test_nothing_is_said_of_what_is_right(self, real_verdicts: Verdicts) -> None:
        assert [one for piece in PIECES for one in real_verdicts[piece]] == []

    @pytest.mark.parametrize("name", MISUSES)
    def test_it_hears_of(self, name: str, real_verdicts: Verdicts, stubs: dict[str, str]) -> None:
        assert_said(name, real_verdicts, tuple(stubs))

    def test_our_code_uses_what_each_version_has(self, stubs: dict[str, str], tmp_path: Path) -> None:
        files = ours()
        assert {"edgemill_runtimes.nvidia.building", "edgemill_runtimes.engines.tensorrt"} <= set(files)
        assert [str(one) for one in complaints(files, stubs, tmp_path, SOURCES)] == []

    def test_a_misspelled_name_in_our_code_is_heard_of(self, stubs: dict[str, str], tmp_path: Path) -> None:
        """A few places of many; each of them was, when this was written."""
        files = ours()
        names = {name for text in stubs.values() for name in questions.all_names(questions.members(text))}
        places = list(misspelled(files, names))
        wrong = {f"misspelled{number}": place for number, place in enumerate(places[:: len(places) // 12])}
        found = complaints(files | {module: text for module, (_, text) in wrong.items()}, stubs, tmp_path, SOURCES)
        heard = {one.file for one in found}
        assert [where for module, (where, _) in wrong.items() if module not in heard] == []
