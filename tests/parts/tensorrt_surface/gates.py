"""``hasattr`` and ``getattr`` by name: what a version may lack.

mypy follows ``hasattr`` and knows nothing of ``getattr``, so that this becomes that; and it does not mind a name that
no version has: such a gate would never open. So in a second copy

    hasattr(config, "DLA_core")        is        gate(reveal_type(config)) and hasattr(config, "DLA_core")

where mypy says whose name is asked for. At least one version must have it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

GATE = "_gate"
REVEAL = "reveal_type"
Names = Mapping[str, tuple[str, ...]]
"""Variables that run over names which are written out: ``for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED")``."""
Members = Mapping[str, set[str]]
"""What each class of a stub has, with what it inherits; what the module has under no name."""


def names_of(call: ast.Call, known: Names) -> tuple[str, ...] | None:
    """Those that ``hasattr`` or ``getattr`` asks for; ``None`` where they are made at run time."""
    match call.args[1]:
        case ast.Constant(value=str(name)):
            return (name,)
        case ast.Name(id=variable):
            return known.get(variable)
    return None


def gated(call: ast.Call, names: Iterable[str]) -> ast.expr:
    """``call``, a ``hasattr``, behind a gate for ``names``."""
    gate = ast.Call(ast.Name(GATE, ast.Load()), [ast.Call(ast.Name(REVEAL, ast.Load()), [call.args[0]], [])], [])
    gate.about = " ".join(names)  # type: ignore[attr-defined]
    return ast.BoolOp(ast.And(), [gate, call])


def ungot(call: ast.Call, name: str, *, asking: bool) -> ast.expr:
    """``call``, a ``getattr`` of one name, as the attribute itself; behind ``hasattr`` where there is a default."""
    attribute = ast.Attribute(call.args[0], name, ast.Load())
    if len(call.args) == 2:
        return attribute
    has = ast.Call(ast.Name("hasattr", ast.Load()), [call.args[0], ast.Constant(name)], [])
    return ast.IfExp(gated(has, [name]) if asking else has, attribute, call.args[2])


def written_out(target: ast.expr, over: ast.expr, constants: Names) -> dict[str, tuple[str, ...]]:
    """The names that a loop runs over, where they are written out there or in a constant of the module."""
    if not isinstance(target, ast.Name):
        return {}
    found = constants.get(over.id) if isinstance(over, ast.Name) else texts(over)
    return {} if found is None else {target.id: found}


def texts(node: ast.expr | None) -> tuple[str, ...] | None:
    """A tuple, list or set of texts."""
    if not isinstance(node, ast.Tuple | ast.List | ast.Set) or not node.elts:
        return None
    values = [one.value if isinstance(one, ast.Constant) else None for one in node.elts]
    return tuple(map(str, values)) if all(isinstance(value, str) for value in values) else None


def members(stub: str) -> Members:
    """What a stub's classes have."""
    body = ast.parse(stub).body
    found = {"": set(_names(body))}
    bases: dict[str, list[str]] = {}
    for name, node in _classes(body):
        found[name] = set(_names(node.body))
        bases[name] = [ast.unparse(base) for base in node.bases]
    for name in found:
        waiting = list(bases.get(name, ()))
        while waiting:
            base = waiting.pop()
            found[name] |= found.get(base, set())
            waiting += bases.get(base, ())
    return found


def has(known: Members, stub: str, revealed: str, name: str) -> bool:
    """Whether what mypy reveals is something that has ``name``; anything, where mypy cannot tell."""
    if revealed == "types.ModuleType":
        return name in known[""]
    owners = re.findall(rf"\b{re.escape(stub)}\.([\w.]+)", revealed)
    return any(name in known.get(owner, ()) for owner in owners or known)


def _classes(body: list[ast.stmt], inside: str = "") -> Iterator[tuple[str, ast.ClassDef]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield inside + node.name, node
            yield from _classes(node.body, f"{inside}{node.name}.")


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name
