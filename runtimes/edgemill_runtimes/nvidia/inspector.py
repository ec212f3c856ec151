"""What TensorRT's engine inspector tells of a plan, read into layers.

Its JSON is described in NVIDIA's developer guide ("Engine Inspector"); names of formats and kinds of layers are those
that NVIDIA's own trt-engine-explorer knows. A plan that was built without detailed verbosity tells names alone, and a
part that went whole to another compiler (a *foreign node*, the accelerator DLA) tells nothing of its layers: both are
named as hidden rather than guessed at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from edgemill_runtimes.engines.facts import Layer

_WORDS = {
    "fp64": ("fp64", "double"),
    "fp32": ("fp32", "float"),
    "tf32": ("tf32",),
    "bf16": ("bf16", "bfloat16"),
    "fp16": ("fp16", "half"),
    "fp8": ("fp8",),
    "int8": ("int8",),
    "int4": ("int4",),
    "fp4": ("fp4",),
}
_PRECISIONS = {word: precision for precision, words in _WORDS.items() for word in words}
_WIDEST = tuple(_WORDS)
"""From the widest: where a layer takes two kinds, it computes in the wider one."""
_HEAVY = re.compile(r"conv|gemm|matmul|matrixmultiply|matrix_multiply|fullyconnected|attention|mha|einsum", re.I)
_LIGHT = re.compile(r"reformat|quantize|shuffle|noop|constant|signal|wait|pooling", re.I)
_OPAQUE = re.compile(r"^dla|foreignnode|^myelin", re.I)
_PROFILE = re.compile(r"\[profile [1-9]\d*\]")
_ONNX = re.compile(r"\[ONNX Layer: ([^\]]*)\]")


@dataclass(frozen=True)
class Inspected:
    """What a plan consists of.

    Attributes:
        layers: those that compute, in their order.
        hidden: parts that it tells nothing of.
        accelerated: parts that run on the accelerator (DLA); they are hidden as well.
    """

    layers: tuple[Layer, ...] = ()
    hidden: tuple[str, ...] = ()
    accelerated: tuple[str, ...] = ()


def read_inspected(text: str, is_quantized: Callable[[str], bool] = lambda _: False) -> Inspected:
    """Read the inspector's JSON of a whole engine.

    Args:
        text: as ``get_engine_information`` gives it.
        is_quantized: whether the node of the ONNX graph with this name computes on quantized operands.
    """
    try:
        told = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError):
        told = None
    if not isinstance(told, list):
        return Inspected(hidden=("the whole plan",))
    each = [one for one in told if isinstance(one, (str, dict)) and not _PROFILE.search(_name(one))]
    if not each:
        return Inspected(hidden=("the whole plan",))
    layers, hidden, accelerated = [], [], []
    for one in each:
        if isinstance(one, str) or _OPAQUE.search(_kind(one)) or "{ForeignNode[" in _name(one):
            hidden.append(_name(one))
            if not isinstance(one, str) and _kind(one).upper().startswith("DLA"):
                accelerated.append(_name(one))
        elif _is_heavy(one):
            layers.append(_layer(one, is_quantized))
    return Inspected(tuple(layers), tuple(hidden), tuple(accelerated))


def _name(one: str | Mapping[str, Any]) -> str:
    """Names of what was fused are put together with separators that no screen shows."""
    said = one if isinstance(one, str) else str(one.get("Name", ""))
    return re.sub(r"[\x1e\x1f]", " + ", said)


def _kind(one: Mapping[str, Any]) -> str:
    return str(one.get("LayerType", ""))


def _is_heavy(one: Mapping[str, Any]) -> bool:
    said = (_kind(one), str(one.get("ParameterType", "")))
    if any(_LIGHT.search(part) for part in said):
        return False
    if any(_HEAVY.search(part) for part in said):
        return True
    # A kernel that Myelin made has the kind "kgen" whatever it does; only its own name tells.
    return said[0] == "kgen" and bool(_HEAVY.search(str(one.get("TacticName", ""))) or _HEAVY.search(_name(one)))


def _layer(one: Mapping[str, Any], is_quantized: Callable[[str], bool]) -> Layer:
    precision = _precision(one)
    unfused = precision != "int8" and any(is_quantized(name) for name in _onnx_names(one))
    return Layer(_name(one), precision, _macs(one), unfused)


def _onnx_names(one: Mapping[str, Any]) -> Iterable[str]:
    found = _ONNX.findall(str(one.get("Metadata", "")))
    return found or _name(one).split(" + ")


def _precision(one: Mapping[str, Any]) -> str:
    """What a layer computes in: the wider of its first input and its weights; ``unknown`` where neither is told."""
    weights = one.get("Weights")
    inputs = _tensors(one, "Inputs")
    said = [
        _word(str(weights.get("Type", ""))) if isinstance(weights, Mapping) else None,
        _word(str(inputs[0].get("Format/Datatype") or inputs[0].get("Datatype") or "")) if inputs else None,
    ]
    found = min((known for known in said if known), key=_WIDEST.index, default="unknown")
    return "tf32" if found == "fp32" and "tf32" in str(one.get("TacticName", "")).lower() else found


def _word(said: str) -> str | None:
    return next((_PRECISIONS[word] for word in re.findall(r"[a-z]+\d*", said.lower()) if word in _PRECISIONS), None)


def _tensors(one: Mapping[str, Any], side: str) -> list[Mapping[str, Any]]:
    found = one.get(side)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _sizes(tensors: list[Mapping[str, Any]]) -> list[int] | None:
    """Of the first one, where all are known."""
    sizes = tensors[0].get("Dimensions") if tensors else None
    known = isinstance(sizes, list) and sizes and all(isinstance(size, int) and size > 0 for size in sizes)
    return sizes if known else None


def _macs(one: Mapping[str, Any]) -> int | None:
    data, out = _sizes(_tensors(one, "Inputs")), _sizes(_tensors(one, "Outputs"))
    if data is None or out is None:
        return None
    kind = f"{_kind(one)} {one.get('ParameterType', '')}".lower()
    weights = one.get("Weights")
    count = weights.get("Count") if isinstance(weights, Mapping) else None
    if "conv" in kind:
        if not isinstance(count, int) or count < 1 or len(data) < 2:
            return None
        # Every output takes a filter's worth of weights; turned around, every input does.
        return prod(data) * count // data[1] if "deconv" in kind else prod(out) * count // _out_maps(one, out)
    return prod(out) * data[-1] if data[:-1] == out[:-1] else None


def _out_maps(one: Mapping[str, Any], out: list[int]) -> int:
    told = one.get("OutMaps")
    return told if isinstance(told, int) and told > 0 else out[1]
