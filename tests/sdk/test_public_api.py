"""What users may rely on, and what importing it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import edgemill

DECLARED = {
    "BudgetError",
    "BuildResult",
    "Bundle",
    "BundleError",
    "ChainResult",
    "Decision",
    "EdgemillError",
    "MissingPartError",
    "Pipeline",
    "Verdict",
    "build",
    "build_chain",
    "load",
    "open_bundle",
    "open_pipeline",
    "prove",
    "this_machine",
}
HEAVY = ("onnx", "onnxruntime", "openvino", "cv2", "matplotlib", "torch", "numpy", "pydantic")


def test_the_public_names_are_those_declared_here() -> None:
    assert set(edgemill.__all__) == DECLARED
    assert set(dir(edgemill)) >= DECLARED


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_every_public_name_loads_and_says_what_it_is(name: str) -> None:
    found = getattr(edgemill, name)
    assert inspect.getdoc(found)
    assert found.__module__.startswith("edgemill_")


def test_an_undeclared_name_is_an_attribute_error_that_lists_the_others() -> None:
    with pytest.raises(AttributeError, match="open_bundle"):
        _ = edgemill.biuld


@pytest.mark.parametrize(
    "code",
    [
        "import edgemill",
        "import sys; sys.argv = ['edgemill', '--help']\n"
        "from edgemill.cli import main\ntry: main()\nexcept SystemExit: pass",
    ],
)
def test_importing_and_help_load_nothing_heavy(code: str) -> None:
    heavy = [name for name in HEAVY if "help" not in code or name not in ("numpy", "pydantic")]
    probe = f"{code}\nimport sys; print('loaded:', [m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert "loaded: []" in done.stdout, done.stdout + done.stderr


def test_a_name_whose_package_is_missing_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['onnx'] = None\nimport edgemill\n"
        "try: edgemill.build\nexcept edgemill.MissingPartError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'edgemill[convert]'" in done.stdout, done.stderr


def test_python_m_edgemill_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "edgemill", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for command in ("build", "run", "check", "doctor", "demo"):
        assert command in done.stdout
