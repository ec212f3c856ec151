"""What an engine really runs on, and what may be required of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgemill_core.errors import RequirementError


@dataclass(frozen=True)
class Layer:
    """One compute layer of a compiled graph.

    Attributes:
        precision: what its kernel computes in: int8, fp16, bf16, fp32 or fp64.
        macs: multiply-accumulate operations of one run; ``None`` where the layer has none to count (trees).
        unfused: its input is dequantized, but it computes in float: a graph in another runtime's dialect.
    """

    name: str
    precision: str
    macs: int | None = None
    unfused: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; ``Layer(**told)`` reads it again."""
        return asdict(self)


@dataclass(frozen=True)
class NodeTime:
    """One node of the compiled graph, timed.

    Attributes:
        names: its own name, and those of the graph's nodes that it was made from where the runtime tells them.
        kind: the runtime's word for what it computes.
        heavy: it is a compute layer rather than one that moves, converts or adds.
        ms: of one run, the least seen.
    """

    names: tuple[str, ...]
    kind: str
    heavy: bool
    ms: float


@dataclass(frozen=True)
class EngineFacts:
    """What an engine really runs on, read back from the compiled graph.

    Attributes:
        runtime: name as in recipes.
        version: the runtime's version.
        device: the devices in use, as the runtime reports them.
        layers: how many compute layers of the *compiled* graph there are in each precision.
        macs: share of all multiply-accumulates by precision; empty where the runtime does not tell.
        unfused: quantized layers that compute in float all the same.
        elsewhere: nodes on another device than asked, with that device.
        hidden: parts that the runtime handed to a compiler of which it tells nothing; ``layers`` and ``macs`` are of
            the others.
        memory_mb: what loading added to the process's resident set, MB of 10^6 bytes.
        build_seconds: how long loading and compiling took.
        options: what the runtime says of its own settings.
    """

    runtime: str
    version: str
    device: str
    layers: Mapping[str, int]
    macs: Mapping[str, float]
    unfused: tuple[str, ...]
    elsewhere: Mapping[str, str]
    memory_mb: float
    build_seconds: float
    options: Mapping[str, str]
    hidden: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> EngineFacts:
        """What ``as_dict`` gave, after a way through JSON."""
        return cls(**{**told, "unfused": tuple(told["unfused"]), "hidden": tuple(told["hidden"])})


@dataclass(frozen=True)
class Compiled:
    """What a runtime tells of the graph that it compiled."""

    version: str
    device: str
    layers: tuple[Layer, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()


def shares(layers: Iterable[Layer]) -> dict[str, float]:
    """Share of all multiply-accumulates by precision, most first; empty where a layer's are not known."""
    found: Counter[str] = Counter()
    for layer in layers:
        if layer.macs is None:
            return {}
        found[layer.precision] += layer.macs
    total = sum(found.values())
    return {precision: macs / total for precision, macs in found.most_common()} if total else {}


def require(
    facts: EngineFacts,
    precision: str | None = None,
    device: str | None = None,
    unfused: int | None = None,
    share: float = 1.0,
) -> None:
    """Turn a surprise into an error.

    Args:
        facts: of the engine.
        precision: what ``share`` of all multiply-accumulates must compute in.
        device: the device that everything must run on.
        unfused: how many quantized layers may compute in float.
        share: 0 to 1.

    Raises:
        RequirementError: naming each thing that is not so.
    """
    wrong = []
    if device is not None and (facts.device != device or facts.elsewhere):
        there = Counter(facts.elsewhere.values())
        more = "".join(f", {count} nodes on {name}" for name, count in there.items())
        wrong.append(
            (f"everything on {device}", f"{facts.device}{more}", "name the device that is here, or install it")
        )
    if facts.hidden and (precision is not None or unfused is not None):
        said = f"{len(facts.hidden)} compiled parts that it tells nothing of: {', '.join(facts.hidden[:3])}"
        fix = "run the graph on that compiler's own runtime, which tells"
        wrong.append(("a runtime that tells what every layer computes in", said, fix))
    elif precision is not None and _share(facts, precision) < share:
        said = ", ".join(f"{name} {part:.1%}" for name, part in _by_precision(facts).items()) or "nothing known"
        fix = f"build a variant in {precision}, or run it on a device that computes in it"
        wrong.append((f"{precision} for {share:.0%} of the compute", said, fix))
    if unfused is not None and len(facts.unfused) > unfused:
        named = ", ".join(facts.unfused[:3]) + (" …" if len(facts.unfused) > 3 else "")
        fix = f"render the graph in the dialect of {facts.runtime}: build it with this target in the recipe"
        wrong.append((f"at most {unfused} unfused layers", f"{len(facts.unfused)}: {named}", fix))
    if wrong:
        raise RequirementError(
            f"the {facts.runtime} engine does not run as required",
            expected="; ".join(one[0] for one in wrong),
            got="; ".join(one[1] for one in wrong),
            fix="; ".join(one[2] for one in wrong),
        )


def _by_precision(facts: EngineFacts) -> Mapping[str, float]:
    total = sum(facts.layers.values())
    return facts.macs or {name: count / total for name, count in facts.layers.items()}


def _share(facts: EngineFacts, precision: str) -> float:
    # The shares are sums of floats: all of them may come to a little less than 1.
    return _by_precision(facts).get(precision, 0.0) + 1e-9
