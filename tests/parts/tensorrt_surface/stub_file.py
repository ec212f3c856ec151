"""A type stub of a module of bindings: every class, method, property and enum member that it has, and nothing else.

python -m tensorrt_surface.stub_file tensorrt_bindings > tensorrt_bindings_10_3_0.pyi
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from tensorrt_surface.signatures import Signature, signatures
from tensorrt_surface.type_names import UNKNOWN, TypeNames

_HEAD = "import builtins\nimport typing\nimport typing_extensions\n"
_NOT_OURS = {"__del__", "__doc__", "__module__", "__getstate__", "__setstate__", "__eq__", "__ne__", "__hash__"}
_INDENT = "    "


def stub(module: ModuleType) -> str:
    """The text of the stub."""
    return _HEAD + "\n".join(_Writer(module).lines()) + "\n"


class _Writer:
    def __init__(self, module: ModuleType) -> None:
        self._module = module
        native = next(one.__module__ for one in vars(module).values() if _is_pybind(one))
        classes = dict(_classes(vars(module)))
        self._types = TypeNames(native, set(classes))
        self._objects = {name for name, cls in classes.items() if "__members__" not in vars(cls)}

    def lines(self) -> Iterator[str]:
        yield "__version__: builtins.str"
        for name, value in vars(self._module).items():
            if name.startswith("_") or isinstance(value, ModuleType):
                continue
            yield from self._class(name, value) if inspect.isclass(value) else self._of_module(name, value)

    def _of_module(self, name: str, value: Any) -> Iterator[str]:
        if isinstance(value, FunctionType):
            yield f"def {name}({', '.join(inspect.signature(value).parameters)}): ..."
        elif callable(value):
            yield from self._overloads(name, list(signatures(value.__doc__)), number=False)
        else:
            yield f"{name}: {self._value(value)}"

    def _class(self, name: str, cls: type) -> Iterator[str]:
        bases = [base.__qualname__ for base in cls.__bases__ if _is_pybind(base)]
        yield f"class {name}({', '.join(bases)}):"
        if "buffer interface" in (cls.__doc__ or ""):
            yield f"{_INDENT}def __buffer__(self, flags: builtins.int) -> builtins.memoryview: ..."
        for line in (*self._members(cls), "..."):
            yield _INDENT + line

    def _members(self, cls: type) -> Iterator[str]:
        own = vars(cls)
        meant_to_be_filled_in = cls.__name__.startswith("I") and not _made_by_tensorrt_alone(cls)
        for name, value in own.items():
            if name in _NOT_OURS or name.startswith(("__pybind11", "_pybind11", "__entries")):
                continue
            yield from self._member(cls, name, value, number=not meant_to_be_filled_in)
        if "__getitem__" in own and "__iter__" not in own:  # Python then counts up from 0; type checkers do not
            first = next(signatures(own["__getitem__"].__doc__))
            yield f"def __iter__(self) -> typing.Iterator[{self._types.returned(first.returns)}]: ..."

    def _member(self, cls: type, name: str, value: Any, *, number: bool) -> Iterator[str]:
        if name == "__members__":
            yield f"{name}: typing.ClassVar[builtins.dict[builtins.str, typing.Self]]"
        elif isinstance(value, property):
            yield from self._property(name, value)
        elif inspect.isclass(value):
            another = value.__qualname__ != f"{cls.__qualname__}.{name}"
            yield from [f"{name} = {value.__qualname__}"] if another else self._class(name, value)
        elif name == "__init__" and _made_by_tensorrt_alone(cls):
            yield "def __init__(self, *, made_by_tensorrt_alone: typing.Never) -> None: ..."
        elif isinstance(value, FunctionType):
            yield self._python_method(name)
        elif callable(value) or isinstance(value, staticmethod):
            yield from self._method(name, value, number)
        elif not name.startswith("_"):
            yield f"{name}: typing.ClassVar[{self._value(value)}]"

    def _python_method(self, name: str) -> str:
        returns = "typing.Self" if name == "__enter__" else "None"
        return f"def {name}(self, *given: typing.Any) -> {returns}: ..."

    def _method(self, name: str, value: Any, number: bool) -> Iterator[str]:
        static = isinstance(value, staticmethod)
        found = list(signatures((value.__func__ if static else value).__doc__))
        yield from self._overloads(name, found, number=number, static=static)

    def _property(self, name: str, value: property) -> Iterator[str]:
        got = next(signatures(value.fget.__doc__ if value.fget else None), None)
        put = next(signatures(value.fset.__doc__ if value.fset else None), None)
        kind = self._returned(got) if got else _unsaid(value)
        yield from ("@property", f"def {name}(self) -> {kind}: ...")
        if put is not None:
            takes = self._types.argument(put.parameters[-1].type)
            yield from (f"@{name}.setter", f"def {name}(self, to: {takes}, /) -> None: ...")

    def _overloads(self, name: str, found: list[Signature], *, number: bool, static: bool = False) -> Iterator[str]:
        for each in found:
            if static:
                yield "@staticmethod"
            if len(found) > 1:
                yield "@typing.overload"
            yield f"def {name}({self._parameters(each, number)}) -> {self._returned(each)}: ..."

    def _parameters(self, signature: Signature, number: bool) -> str:
        said, unnamed, optional = [], 0, False
        for place, each in enumerate(signature.parameters):
            if each.name == "self":
                said.append("self")
                continue
            kind = self._types.argument(each.type)
            if not number and kind == "typing.SupportsInt":
                kind = "builtins.int"  # what TensorRT gives to a method that a caller fills in
            optional = optional or each.optional  # in C++ an optional one can stand before one that is not
            said.append(f"{each.name if each.named else f'unnamed{place}'}: {kind}{' = ...' if optional else ''}")
            unnamed = len(said) if not each.named else unnamed
        return ", ".join([*said[:unnamed], *(["/"] if unnamed else []), *said[unnamed:]])

    def _returned(self, signature: Signature) -> str:
        """Objects may turn out to be ``None``, which no docstring says; what is done then is checked as well."""
        kind = self._types.returned(signature.returns)
        return f"{kind} | typing.Any" if kind in self._objects else kind

    def _value(self, value: Any) -> str:
        return type(value).__qualname__ if _is_pybind(type(value)) else f"builtins.{type(value).__name__}"


def _made_by_tensorrt_alone(cls: type) -> bool:
    """Whether it has no constructor: pybind11 then leaves Python's own in its place."""
    return type(vars(cls).get("__init__")).__name__ == "wrapper_descriptor"


def _unsaid(value: property) -> str:
    """Type of a property of Python's, or of one that can only be set."""
    return "typing.Any" if isinstance(value.fget, FunctionType) else UNKNOWN


def _is_pybind(cls: Any) -> bool:
    return inspect.isclass(cls) and type(cls).__name__ == "pybind11_type" and cls.__module__ != "pybind11_builtins"


def _classes(names: Any, inside: str = "") -> Iterator[tuple[str, type]]:
    for name, value in names.items():
        if _is_pybind(value):
            yield inside + name, value
            if not inside:
                yield from _classes(vars(value), f"{name}.")


if __name__ == "__main__":
    sys.stdout.write(stub(import_module(sys.argv[1])))
