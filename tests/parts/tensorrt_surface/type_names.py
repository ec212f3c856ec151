"""Types of pybind11's docstrings, as a type stub may say them.

What an argument may be is wider than what is written (sizes are any sequence of numbers), and what comes back is what
is written. A type that cannot be told is ``object``: nothing can be done with it, so whoever uses it hears of it.
"""

from __future__ import annotations

import ast
import re

_CPP = re.compile(r"(?:\w+::)+(\w+)")
_PLAIN = {name: f"builtins.{name}" for name in ("bool", "bytes", "float", "int", "object", "slice", "str", "tuple")}
_CONTAINERS = {"list": "builtins.list", "dict": "builtins.dict", "tuple": "builtins.tuple"}
_BUFFER = "typing_extensions.Buffer"
_ARGUMENTS = {
    "int": "typing.SupportsInt",
    "typing.SupportsInt": "typing.SupportsInt",
    "typing.SupportsIndex": "typing.SupportsIndex",
    "float": "typing.SupportsFloat",
    "typing.SupportsFloat": "typing.SupportsFloat",
    "buffer": _BUFFER,
    "typing_extensions.Buffer": _BUFFER,
    "capsule": "builtins.object",
    "Dims": "Dims | typing.Sequence[int]",
    "Weights": "Weights | typing_extensions.Buffer",
}
UNKNOWN = "builtins.object"


class TypeNames:
    """Knows the classes of one module of bindings.

    Args:
        module: as its docstrings name it.
        classes: its own, with dots where they are nested.
    """

    def __init__(self, module: str, classes: set[str]) -> None:
        self._module = module
        self._classes = classes

    def argument(self, text: str) -> str:
        """What a caller may give."""
        return self._say(self._known(text), argument=True)

    def returned(self, text: str) -> str:
        """What comes back."""
        return self._say(self._known(text), argument=False)

    def _known(self, text: str) -> str:
        """``text`` with names of our module's classes alone, C++'s among them: ``nvonnxparser::IParserError``."""
        return _CPP.sub(lambda found: self._class_of(found[1]), text.replace(f"{self._module}.", ""))

    def _class_of(self, name: str) -> str:
        return next((one for one in (name, name.removeprefix("I")) if one in self._classes), "object")

    def _say(self, text: str, *, argument: bool) -> str:
        try:
            return self._node(ast.parse(text, mode="eval").body, argument)
        except SyntaxError:
            return UNKNOWN

    def _node(self, node: ast.expr, argument: bool) -> str:
        text = ast.unparse(node)
        if text == "None":
            return text
        if argument and text in _ARGUMENTS:
            return _ARGUMENTS[text]
        if isinstance(node, ast.Subscript):
            return self._container(node, argument)
        if isinstance(node, ast.BinOp):
            return f"{self._node(node.left, argument)} | {self._node(node.right, argument)}"
        if text in self._classes:
            return text
        return _PLAIN.get(text, f"builtins.{text}[typing.Any]" if text == "list" else UNKNOWN)

    def _container(self, node: ast.Subscript, argument: bool) -> str:
        name = ast.unparse(node.value).rpartition(".")[2].lower()
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        inside = ", ".join(self._node(each, argument) for each in inner)
        if name == "sequence" or (argument and name == "list"):
            return f"typing.Sequence[{inside}]"
        return f"{_CONTAINERS[name]}[{inside}]" if name in _CONTAINERS else UNKNOWN
