"""Questions to mypy, in a copy of its own: whose name is asked for.

mypy takes what stands behind a ``hasattr`` to be there, whether it is or not, and knows nothing of ``getattr``. So in
the copy that asks

    hasattr(config, "DLA_core")        is        gate(reveal_type(config)) and hasattr(config, "DLA_core")

where mypy says what ``config`` is. Then it is known whether that has the name: what stands behind is checked where it
has, what stands in its stead where it has not, and a gate that opens in no version is a mistake. In the same way it is
asked whose a name of TensorRT's is, wherever one stands: if mypy can only say ``Any``, nothing is checked there.
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


def reveal(node: ast.expr, kind: str, about: str) -> ast.Call:
    """``node``, whose type mypy tells; of what kind the question is and what it is about is kept for the answer."""
    call = ast.Call(ast.Name(REVEAL, ast.Load()), [node], [])
    call.question = (kind, about)  # type: ignore[attr-defined]
    return call


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
    gate = ast.Call(ast.Name(GATE, ast.Load()), [reveal(call.args[0], "gate", " ".join(names))], [])
    return ast.BoolOp(ast.And(), [gate, call])


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


def all_names(known: Members) -> set[str]:
    """Those of all classes, less what Python's own containers have too."""
    common = {name for kind in (str, bytes, list, dict, set) for name in dir(kind)}
    return {name for names in known.values() for name in names if not name.startswith("_")} - common


def has(known: Members, stub: str, revealed: str, name: str) -> bool:
    """Whether what mypy reveals is something that has ``name``; anything, where mypy cannot tell."""
    if revealed == "types.ModuleType":
        return name in known[""]
    owners = re.findall(rf"\b{re.escape(stub)}\.([\w.]+)", revealed)
    return any(name in known.get(owner, ()) for owner in owners or known)


def tells_nothing(revealed: str) -> bool:
    """Whether mypy takes it to have whatever is asked of it."""
    return set(revealed.split(" | ")) <= {"Any", "None", "types.ModuleType"}


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
