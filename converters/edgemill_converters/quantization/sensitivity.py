"""Which layers a model loses by in INT8, found with few runs.

The loss of a set of layers is what quantizing them alone, all others in float, does to the task's output: the squared
difference as a share of the squared output, a mean over samples. Noise of different layers is hardly correlated, so
that losses of small sets add up (Zhou et al. 2018, "Adaptive Quantization for Deep Neural Network").

Groups of neighbours are halved, and the group that loses most is halved next. Neighbours, because what a network makes
of noise changes with depth more than with anything that a layer shows by itself. Where to cut, a cheap estimate says:
the noise that quantization puts on a layer's input, weights and output, each as a share of its power, from one run in
float. For a linear layer these shares add up (Lin, Talathi and Annapureddy 2016, "Fixed Point Quantization of Deep
Convolutional Networks").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import numpy_helper

from edgemill_converters.quantization.dialects.weights import channel_axis, rounding_errors
from edgemill_converters.quantization.plan import Plan, Range
from edgemill_converters.quantization.wiring import CUTS
from edgemill_core.tensors import Array

WORTH_SPLITTING = 0.02
"""Share of the whole loss below which a group is not looked into any further."""
SMALL = 0.05
"""Losses up to this add up, so that what one half leaves is a good guess at the other."""


@dataclass(frozen=True)
class Group:
    """Layers whose loss is known together.

    Attributes:
        loss: of all of them; see above.
        known: measured; else it is a guess from the group that it was split from.
    """

    layers: tuple[str, ...]
    loss: float
    known: bool = True


def relative_error(outputs: Array, exact: Array) -> float:
    """Mean over the samples of the squared difference as a share of the squared exact output.

    Each sample by itself, because those whose output is faint are the first to flip.

    Args:
        outputs: ``[samples, …]``.
        exact: the same in float.

    Returns:
        1e9 where an output is not a number.
    """
    wanted = np.asarray(exact, np.float64).reshape(len(exact), -1)
    difference = np.asarray(outputs, np.float64).reshape(len(exact), -1) - wanted
    power = np.square(wanted).sum(axis=1)
    least = power.mean() * 1e-6 or 1.0
    found = float((np.square(difference).sum(axis=1) / np.maximum(power, least)).mean())
    return found if np.isfinite(found) else 1e9


def noise_of(values: Array, extent: Range, bits: int = 8) -> tuple[float, float]:
    """Squared error of ``values`` in ``bits`` bits over ``extent``, clipping included, and their squared sum."""
    exact = np.asarray(values, np.float64)
    step = (extent.high - extent.low) / (2**bits - 1) or 1.0
    zero = round(-extent.low / step)
    written = (np.clip(np.round(exact / step) + zero, 0, 2**bits - 1) - zero) * step
    return float(np.square(written - exact).sum()), float(np.square(exact).sum())


def weight_noise(node: onnx.NodeProto, weights: Array, bits: int) -> float:
    """Power of the error of symmetric weights per output channel, as a share of the weights' power."""
    by_output = np.moveaxis(weights, channel_axis(node, weights.ndim), 0)
    power = float(np.square(by_output, dtype=np.float64).sum())
    return float(np.square(rounding_errors(by_output, bits)).sum()) / power if power else 0.0


def local_noise(graph: onnx.GraphProto, plan: Plan, runs: Iterable[Mapping[str, Array]]) -> dict[str, float]:
    """The cheap estimate for every layer of the plan.

    Args:
        runs: for each input, the float values of the tensors that the plan has ranges for.
    """
    error, power = dict.fromkeys(plan.ranges, 0.0), dict.fromkeys(plan.ranges, 0.0)
    for values in runs:
        for name in plan.ranges.keys() & values.keys():
            noise, strength = noise_of(values[name], plan.ranges[name])
            error[name] += noise
            power[name] += strength
    weights = {tensor.name: tensor for tensor in graph.initializer}
    cut = {node.input[0] for node in graph.node if node.op_type in CUTS}  # what their range lacks may be no noise
    found = {}
    for node in graph.node:
        if node.name in plan.layers:
            tensors = [node.input[0], *(name for name in node.output[:1] if name not in cut)]
            own = weight_noise(node, numpy_helper.to_array(weights[node.input[1]]), plan.weight_bits)
            found[node.name] = own + sum(error[name] / power[name] for name in tensors if power.get(name))
    return found


def levelled(noise: Mapping[str, float]) -> dict[str, float]:
    """The cheap estimate with its mean added to all: what stands out stays so, and else all layers count alike."""
    mean = sum(noise.values()) / len(noise) or 1.0
    return {name: one + mean for name, one in noise.items()}


def halves(layers: Sequence[str], weight: Mapping[str, float]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cut a row of layers where about half of the weight is on either side; neither side is empty."""
    sums = np.cumsum([weight[name] for name in layers])
    cut = int(np.abs(sums[:-1] - sums[-1] / 2).argmin()) + 1
    return tuple(layers[:cut]), tuple(layers[cut:])


def next_group(groups: Sequence[Group], whole: float) -> Group | None:
    """The group to look into: the one that loses most and is not known layer by layer; ``None`` if none is worth it."""
    unknown = (group for group in groups if len(group.layers) > 1 or not group.known)
    open_ = [group for group in unknown if group.loss > WORTH_SPLITTING * whole]
    return max(open_, key=lambda group: group.loss, default=None)


def find_groups(
    layers: Sequence[str],
    whole: float,
    weight: Mapping[str, float],
    measure: Callable[[tuple[str, ...]], float],
    runs: int,
) -> list[Group]:
    """Split the layers until those that lose most stand alone, or ``runs`` are used up.

    Of two halves one is run. The other's loss is guessed from the difference, and run only when it turns out to be the
    next to look into: in differences of differences there would be little left but what does not add up.

    Args:
        whole: loss of all layers together.
        weight: the cheap estimate, levelled.
        measure: runs a graph in which only the given layers are quantized, and gives their loss.
        runs: how often ``measure`` may be called.
    """
    groups = [Group(tuple(layers), whole)]
    while runs > 0 and (group := next_group(groups, whole)) is not None:
        runs -= 1
        groups.remove(group)
        if group.known:
            groups += _split(group, weight, measure)
        else:
            groups.append(replace(group, loss=measure(group.layers), known=True))
    return groups


def _split(
    group: Group, weight: Mapping[str, float], measure: Callable[[tuple[str, ...]], float]
) -> tuple[Group, Group]:
    first, second = halves(group.layers, weight)
    loss = measure(first)
    rest = max(group.loss - loss, 0.0)
    if group.loss > SMALL:
        # Large losses saturate: a half that explains all leaves room for another that loses as much.
        share = sum(weight[name] for name in second) / (sum(weight[name] for name in group.layers) or 1.0)
        rest = max(rest, group.loss * share)
    return Group(first, loss), Group(second, rest, known=False)


def loss_by_layer(groups: Sequence[Group], weight: Mapping[str, float]) -> dict[str, tuple[float, bool]]:
    """Each layer's share of its group's loss by the cheap estimate, and whether it was measured alone."""
    found = {}
    for group in groups:
        total = sum(weight[name] for name in group.layers)
        for name in group.layers:
            share = weight[name] / total if total else 1 / len(group.layers)
            found[name] = (group.loss * share, group.known and len(group.layers) == 1)
    return found
