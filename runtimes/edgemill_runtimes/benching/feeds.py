"""What a bare graph is fed to be timed or compared: given samples, or numbers drawn by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgemill_core.errors import InputError
from edgemill_core.tensors import Array, TensorSpec

SAMPLES = 8
Shapes = Mapping[str, tuple[int, ...]]


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """``"x=1x3x48x320"`` as a name and its sizes.

    Raises:
        InputError: it is not of this form.
    """
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(size) for size in sizes.split("x"))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1:
        raise InputError(
            "a shape cannot be read", expected="NAME=1x3x48x320", got=text, fix="write the sizes with x between them"
        )
    return name, shape


def drawn(specs: Sequence[TensorSpec], shapes: Shapes, seed: int = 0) -> dict[str, Array]:
    """``[samples, …]`` for each input, drawn by chance: bytes over their range, floats around 0, other integers 0.

    Args:
        specs: the engine's inputs.
        shapes: of inputs that the graph leaves open.
        seed: of the draw.

    Raises:
        InputError: an input stays open, a shape does not fit, or there is no such input.
    """
    known = {spec.name for spec in specs}
    unknown = sorted(set(shapes) - known)
    if unknown:
        raise InputError(
            f"the graph takes no {unknown[0]!r}",
            expected=" | ".join(sorted(known)),
            got=unknown[0],
            fix="name one of these in --shape",
        )
    rng = np.random.default_rng(seed)
    return {spec.name: _draw(spec, _shape(spec, shapes), rng) for spec in specs}


def _shape(spec: TensorSpec, shapes: Shapes) -> tuple[int, ...]:
    if spec.name not in shapes:
        fixed = tuple(size for size in spec.shape if size is not None)
        if len(fixed) == len(spec.shape):
            return fixed
        said = "x".join("1" if size is None else str(size) for size in spec.shape)
        raise InputError(
            f"input {spec.name!r} leaves sizes open",
            expected="a shape for it",
            got=str(spec),
            fix=f"say it, like --shape {spec.name}={said}",
        )
    shape = shapes[spec.name]
    if not spec.admits(shape):
        raise InputError(
            f"the shape for {spec.name!r} does not fit the graph",
            expected=str(spec),
            got=str(list(shape)),
            fix=f"mend --shape {spec.name}=…",
        )
    return shape


def _draw(spec: TensorSpec, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    size, element = (SAMPLES, *shape), spec.element
    if element is None:
        raise InputError(
            f"numbers for input {spec.name!r} cannot be drawn",
            expected="a type that numpy has",
            got=str(spec),
            fix="give samples with --inputs",
        )
    if element in (np.uint8, np.int8):
        return rng.integers(0, 256, size, np.uint8).view(element)
    if element.kind == "f":
        return rng.standard_normal(size).astype(element)
    return np.zeros(size, element)


def read_samples(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """``[samples, …]`` for each input, from an ``.npz`` with one array per input.

    An array of the input's own rank is one sample; of one rank more, its first axis counts samples.

    Raises:
        InputError: no such file, other names or types, or not as many samples of each.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read",
            expected="an .npz file, written with numpy.savez",
            got=str(error) or type(error).__name__,
            fix="name another file with --inputs",
        ) from error
    samples = {
        spec.name: found[spec.name][None] if found[spec.name].ndim == len(spec.shape) else found[spec.name]
        for spec in specs
        if spec.name in found
    }
    right = all(name in samples for name in found) and all(
        spec.name in samples and len(samples[spec.name]) and spec.fits(samples[spec.name][0]) for spec in specs
    )
    if not right or len({len(one) for one in samples.values()}) != 1:
        raise InputError(
            f"{path} does not hold what the graph takes",
            expected="; ".join(map(str, specs)) + "; or as many of each, along an axis before",
            got="; ".join(f"{name}: {one.dtype.name}{list(one.shape)}" for name, one in found.items()) or "nothing",
            fix="write it with numpy.savez, one array per input",
        )
    return samples
