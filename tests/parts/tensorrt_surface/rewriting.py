"""Our code as mypy can follow it: the module that comes in as ``trt: Any`` is the real one's stub.

Nothing but types changes: the parameter is called otherwise, so that ``trt`` means the imported stub; objects of
TensorRT that are annotated ``Any`` get their class by their name (``object_names``), what functions give back gets what
mypy says of their ``return`` (``checking`` asks it), and names that a version may lack are seen (``gates``). What is
left as ``Any`` is complained of: nothing would check what is done with it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tensorrt_surface import gates, object_names

MODULE = ("trt", "_trt")
_RENAMED = "_module"
_FUTURE = "from __future__ import annotations"
_IMPORTS = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True)
class Span:
    """Where something stands in the copy; ``column`` and ``end`` count from 0.

    Attributes:
        about: for a gate, the names that it asks for; for a ``return``, the line of its function in the original.
    """

    line: int
    column: int
    end: int
    about: str

    def has(self, line: int, column: int) -> bool:
        """Whether a place is within."""
        return line == self.line and self.column <= column < self.end


@dataclass(frozen=True)
class Copy:
    """One file rewritten.

    Attributes:
        lines: of the original, by the copy's, each where its statement begins.
        holes: what nothing would check, as lines of the original and words.
    """

    text: str
    lines: Mapping[int, int]
    gates: tuple[Span, ...]
    returns: tuple[Span, ...]
    holes: tuple[tuple[int, str], ...]

    def line(self, of_copy: int) -> int:
        """The original's, for one of the copy."""
        return self.lines[max(line for line in self.lines if line <= of_copy)]


def takes_tensorrt(source: str) -> bool:
    """Whether a file is handed the bindings."""
    return any(
        (isinstance(node, ast.arg) and node.arg in MODULE) or (isinstance(node, ast.Name) and node.id in MODULE)
        for node in ast.walk(ast.parse(source))
    )


def rewritten(
    source: str, stub: str, moved: Mapping[str, str], returns: Mapping[str, str], *, asking: bool = False
) -> Copy:
    """The copy of a file.

    Args:
        source: the file.
        stub: module of the stub.
        moved: where copies of other files are to be imported from, by their modules.
        returns: what functions annotated ``Any`` give, by the line that they stand on.
        asking: has mypy reveal what is returned and whose names are asked for. That can confuse what it says of the
            expression around, so that its other remarks do not count.
    """
    tree = ast.parse(source)
    before = [node.lineno for node in _statements(tree)]
    runtime = "tensorrt_rtx" if "rtx" in stub else "tensorrt"
    rewriter = _Rewriter(runtime, moved, returns, _constants(tree), asking)
    text = ast.unparse(ast.fix_missing_locations(rewriter.visit(tree)))
    after = ast.parse(text)
    lines = dict(zip((node.lineno for node in _statements(after)), before, strict=True))
    assert _FUTURE in text, "the stub is imported in place of it, so that no line moves"
    imports = f"import {stub} as trt; from surface_gate import gate as {gates.GATE}"
    return Copy(
        text.replace(_FUTURE, imports, 1) + "\n",
        lines,
        tuple(_spans(tree, after, gates.GATE)),
        tuple(_spans(tree, after, gates.REVEAL)),
        tuple(rewriter.holes),
    )


class _Rewriter(ast.NodeTransformer):
    def __init__(
        self,
        runtime: str,
        moved: Mapping[str, str],
        returns: Mapping[str, str],
        constants: gates.Names,
        asking: bool,
    ) -> None:
        self._asking = asking
        self._runtime = runtime
        self._moved = moved
        self._returns = returns
        self._names = dict(constants)
        self._functions: list[ast.FunctionDef] = []
        self.holes: list[tuple[int, str]] = []

    def visit_arg(self, node: ast.arg) -> ast.arg:
        if node.arg in MODULE:
            return ast.copy_location(ast.arg(_RENAMED, ast.Name("object", ast.Load())), node)
        node.annotation = self._annotation(node.arg, node.annotation, node.lineno)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        stars, node.vararg, node.kwarg = (node.vararg, node.kwarg), None, None  # whatever is passed on
        self.generic_visit(node)
        node.vararg, node.kwarg = stars
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        self.generic_visit(node)
        node.arg = _RENAMED if node.arg in MODULE else node.arg
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._functions.append(node)
        self.generic_visit(node)
        self._functions.pop()
        known = self._returns.get(str(node.lineno))
        if known is not None:
            node.returns = ast.parse(known, mode="eval").body
        return node

    def visit_Return(self, node: ast.Return) -> ast.Return:
        self.generic_visit(node)
        function = self._functions[-1]
        if self._asking and node.value is not None and object_names.anything(function.returns) is not None:
            node.value = ast.Call(ast.Name(gates.REVEAL, ast.Load()), [node.value], [])
            node.value.about = str(function.lineno)  # type: ignore[attr-defined]
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        """``self._trt = trt`` and ``trt = bindings(runtime)`` go; under another name nothing could follow it."""
        self.generic_visit(node)
        if all(_names_module(target) for target in node.targets):
            return ast.copy_location(ast.Expr(node.value), node)
        if _names_module(node.value) or any(_names_module(one) for one in ast.walk(node) if _is_stored(one)):
            self.holes.append((node.lineno, f"`{ast.unparse(node)}`: call the bindings trt, and nothing else so"))
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self.generic_visit(node)
        name = node.target.attr if isinstance(node.target, ast.Attribute) else ast.unparse(node.target)
        if name not in MODULE:
            node.annotation = self._annotation(name, node.annotation, node.lineno) or node.annotation
            return node
        if node.value is not None:
            return ast.copy_location(ast.Expr(node.value), node)
        node.target, node.annotation = ast.Name(_RENAMED, ast.Store()), ast.Name("object", ast.Load())
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        return ast.Name("trt", node.ctx) if node.attr in MODULE else node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name("trt", node.ctx) if node.id in MODULE else node

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node) if node.names[0].name in _IMPORTS else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        node.module = self._moved.get(node.module or "", node.module)
        return node

    def visit_For(self, node: ast.For) -> ast.For:
        self._names |= gates.written_out(node.target, node.iter, self._names)
        self.generic_visit(node)
        return node

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return self._comprehension(node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.expr:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.expr:
        return self._comprehension(node)

    def _comprehension(self, node: ast.expr) -> ast.expr:
        for loop in node.generators:  # type: ignore[attr-defined]
            self._names |= gates.written_out(loop.target, loop.iter, self._names)
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        asks = node.func.id if isinstance(node.func, ast.Name) else ""
        if asks == "bindings":
            return ast.Name("trt", ast.Load())
        names = gates.names_of(node, self._names) if asks in ("hasattr", "getattr") else None
        if names is None:
            return node
        if asks == "getattr":
            return gates.ungot(node, names[0], asking=self._asking) if len(names) == 1 else node
        return gates.gated(node, names) if self._asking else node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """``asked.runtime == "tensorrt_rtx"`` is so, or it is not: what is for the other is none of this version's."""
        self.generic_visit(node)
        match node:
            case ast.Compare(ops=[ast.Eq() | ast.NotEq() as how], comparators=[ast.Constant(value=str(runtime))]):
                if runtime in _IMPORTS:
                    return ast.Constant((runtime == self._runtime) == isinstance(how, ast.Eq))
        return node

    def _annotation(self, name: str, annotation: ast.expr | None, line: int) -> ast.expr | None:
        if object_names.is_hole(name, annotation):
            self.holes.append((line, f"`{name}: Any`: nothing checks what is done with it; say its type"))
        return object_names.class_of(name, annotation) or annotation


def _names_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "trt"


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _constants(tree: ast.Module) -> gates.Names:
    pairs = ((one.targets[0], gates.texts(one.value)) for one in tree.body if isinstance(one, ast.Assign))
    return {target.id: names for target, names in pairs if isinstance(target, ast.Name) and names is not None}


def _statements(tree: ast.AST) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


def _calls(tree: ast.AST, name: str) -> list[ast.Call]:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == name]


def _spans(tree: ast.AST, after: ast.AST, name: str) -> Iterator[Span]:
    """Where the calls stand that were put in, and what each is about."""
    for put_in, call in zip(_calls(tree, name), _calls(after, name), strict=True):
        about: str | None = getattr(put_in, "about", None)
        if about is not None and call.end_col_offset is not None:
            yield Span(call.lineno, call.col_offset, call.end_col_offset, about)
