"""Fixtures that several rooms share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_labels import write_chain_recipe, write_find_recipe
from tiny_text import write_workshop

from edgemill_converters.build import build
from edgemill_converters.candidates import ExtraVariant
from edgemill_converters.chaining import ChainResult, build_chain
from edgemill_converters.result import BuildResult

Workshop = Callable[..., Path]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Makes a recipe with everything it needs; keyword arguments replace top-level keys."""
    return lambda **changes: write_workshop(tmp_path, **changes)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """The tiny model, built for both runtimes, with one INT8 variant broken on purpose."""
    folder = tmp_path_factory.mktemp("built")
    broken = ExtraVariant("broken", 0, lambda plan: plan.with_ranges_scaled(0.01))
    return build(write_workshop(folder), folder / "out", extra=[broken])


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the tiny detector of labels."""
    folder = tmp_path_factory.mktemp("found")
    bundle = build(write_find_recipe(folder), folder / "out").bundle
    assert bundle is not None
    return bundle.folder


@pytest.fixture(scope="session")
def chained(tmp_path_factory: pytest.TempPathFactory, built: BuildResult, found: Path) -> ChainResult:
    """A chain that finds a label and reads it, on both runtimes."""
    folder = tmp_path_factory.mktemp("chained")
    assert built.bundle is not None
    return build_chain(write_chain_recipe(folder, found, built.bundle.folder), folder / "out")


@pytest.fixture
def edgemill_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real command."""

    def run(*told: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgemill", *map(str, told)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file whose tests need the demo goes first, for that takes longest; another would wait for the same demo."""
    first = min((item.path for item in items if "demo" in getattr(item, "fixturenames", ())), default=None)
    items.sort(key=lambda item: item.path != first)
