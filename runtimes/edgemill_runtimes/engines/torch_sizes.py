"""What sizes of an exported program may be made of, as it is written; without PyTorch.

A size that depends on the input is an expression of SymPy in text, and PyTorch has Python evaluate it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

_FUNCTIONS = frozenset(
    [
        "Symbol",
        "Integer",
        "Rational",
        "Float",
        "Add",
        "Mul",
        "Pow",
        "Min",
        "Max",
        "Mod",
        "Abs",
        "Not",
        "And",
        "Or",
        "Eq",
        "Ne",
        "Lt",
        "Le",
        "Gt",
        "Ge",
        "Equality",
        "Unequality",
        "StrictLessThan",
        "LessThan",
        "StrictGreaterThan",
        "GreaterThan",
        "Piecewise",
        "ExprCondPair",
        "floor",
        "ceiling",
        "FloorDiv",
        "ModularIndexing",
        "Where",
        "PythonMod",
        "CleanDiv",
        "CeilToInt",
        "FloorToInt",
        "CeilDiv",
        "LShift",
        "RShift",
        "PowByNatural",
        "FloatPow",
        "FloatTrueDiv",
        "IntTrueDiv",
        "IsNonOverlappingAndDenseIndicator",
        "TruncToFloat",
        "TruncToInt",
        "RoundToInt",
        "RoundDecimal",
        "ToFloat",
        "Identity",
        "BitwiseFn_bitwise_and",
        "BitwiseFn_bitwise_or",
        "BitwiseFn_bitwise_xor",
        "Half",
        "One",
        "Zero",
        "NegativeOne",
    ]
)
_PARTS = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.BinOp, ast.UnaryOp),
    *(ast.Compare, ast.BoolOp, ast.operator, ast.unaryop, ast.cmpop, ast.boolop),
)
_WORD = re.compile(r"\w+|[-+]?[\d.]+(e[-+]?\d+)?", re.ASCII)
_UNSAFE = re.compile(r"[^ -~]|[#\\]")
"""SymPy takes line ends out, so what stands in a comment for us may be code for it."""


def check_sizes(program: bytes) -> None:
    """See that the sizes of a program, in its JSON, are arithmetic.

    Raises:
        ValueError: one is not, or it is no JSON.
    """
    for text in _expressions(json.loads(program)):
        if not _is_arithmetic(text):
            raise ValueError(f"a size that is no arithmetic, and may be code: {text[:200]}")


def _expressions(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("expr_str"), str):
                yield one["expr_str"]
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _is_arithmetic(text: str) -> bool:
    if _UNSAFE.search(text):
        return False
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, _PARTS) and _is_harmless(node) for node in nodes)


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _WORD.fullmatch(node.value) is not None
    return True
