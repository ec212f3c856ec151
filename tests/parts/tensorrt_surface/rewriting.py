"""Our code as mypy can follow it: the module that comes in as ``trt: Any`` is the real one's stub.

Nothing but types changes: the parameter is called otherwise, so that ``trt`` means the imported stub; objects of
TensorRT that are annotated ``Any`` get their class by their name (``object_names``), what functions give back gets what
mypy says of their ``return``, and ``hasattr`` and ``… == "tensorrt_rtx"`` are so or are not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, TypeVar

from tensorrt_surface import object_names, questions
from tensorrt_surface.copies import RUNTIMES, Copy, Learnt, Question, Version

MODULE = ("trt", "_trt", "module")
_RENAMED = "_module"
_FUTURE = "from __future__ import annotations"
Node = TypeVar("Node", bound=ast.AST)


def takes_tensorrt(source: str) -> bool:
    """Whether a file is handed the bindings or what they made."""
    named = (node.arg if isinstance(node, ast.arg) else getattr(node, "id", "") for node in ast.walk(ast.parse(source)))
    return any(name in ("trt", "_trt") for name in named)


def rewritten(source: str, version: Version, learnt: Learnt, *, asking: bool = False) -> Copy:
    """The copy of a file.

    Args:
        source: the file.
        version: what it is for.
        learnt: of it so far.
        asking: mypy is asked for types. That can confuse what it says of the expression around, so that its other
            remarks do not count.
    """
    tree = ast.parse(source)
    before = [node.lineno for node in _all(tree, ast.stmt)]
    tree = ast.fix_missing_locations(_Rewriter(tree, version, learnt, asking).visit(tree))
    # mypy says the same of a line once, so that what it is asked of has a line of its own.
    text = ast.unparse(tree).replace(f"{questions.REVEAL}(", f"{questions.REVEAL}(\n")
    after = ast.parse(text)
    lines = dict(zip((node.lineno for node in _all(after, ast.stmt)), before, strict=True))
    assert _FUTURE in text, "the stub is imported in place of it, so that no line moves"
    imports = f"import {version.stub} as trt; from surface_gate import gate as {questions.GATE}"
    return Copy(text.replace(_FUTURE, imports, 1) + "\n", lines, tuple(_questions(tree, after)) if asking else ())


class _Rewriter(ast.NodeTransformer):
    def __init__(self, tree: ast.Module, version: Version, learnt: Learnt, asking: bool) -> None:
        self._version, self._learnt, self._asking = version, learnt, asking
        self._names = _constants(tree)
        self._modules = _imported(tree)
        self._line = 0
        self._functions: list[ast.FunctionDef] = []

    def visit(self, node: ast.AST) -> Any:
        """Keeps in mind on which line the statement begins."""
        above = self._line
        self._line = node.lineno if isinstance(node, ast.stmt) else above
        done = super().visit(node)
        self._line = above
        return done

    def visit_arg(self, node: ast.arg) -> ast.arg:
        if node.arg in MODULE:
            return ast.copy_location(ast.arg(_RENAMED, ast.Name("object", ast.Load())), node)
        node.annotation = object_names.class_of(node.arg, node.annotation)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        self.generic_visit(node)
        node.arg = _RENAMED if node.arg in MODULE else node.arg
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        returns, node.returns = node.returns, None
        self._functions.append(node)
        node.returns_nothing_said = object_names.says_nothing(returns)  # type: ignore[attr-defined]
        self.generic_visit(node)
        self._functions.pop()
        known = self._learnt.returns.get(node.lineno)
        node.returns = returns if known is None else ast.parse(known, mode="eval").body
        return node

    def visit_Return(self, node: ast.Return) -> ast.Return:
        self.generic_visit(node)
        function = self._functions[-1]
        if self._asking and node.value is not None and function.returns_nothing_said:  # type: ignore[attr-defined]
            node.value = questions.reveal(node.value, "return", str(function.lineno))
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        """``self._trt = trt`` and ``trt = bindings(runtime)`` go."""
        self.generic_visit(node)
        if all(isinstance(target, ast.Name) and target.id == "trt" for target in node.targets):
            return ast.copy_location(ast.Expr(node.value), node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        annotation, node.annotation = node.annotation, ast.Constant(None)
        self.generic_visit(node)
        name = node.target.attr if isinstance(node.target, ast.Attribute) else ast.unparse(node.target)
        node.annotation = object_names.class_of(name, annotation) or annotation
        if name not in MODULE:
            return node
        if node.value is not None:
            return ast.copy_location(ast.Expr(node.value), node)
        node.target, node.annotation = ast.Name(_RENAMED, ast.Store()), ast.Name("object", ast.Load())
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if node.attr in MODULE:
            return ast.Name("trt", node.ctx)
        is_of_module = isinstance(node.value, ast.Name) and node.value.id in self._modules
        if self._asking and node.attr in self._version.names and not is_of_module:
            node.value = questions.reveal(node.value, "owner", node.attr)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        """Up to Python 3.11, no line ends in there."""
        asking, self._asking = self._asking, False
        self.generic_visit(node)
        self._asking = asking
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name("trt", node.ctx) if node.id in MODULE else node

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node) if node.names[0].name in RUNTIMES else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        node.module = self._version.moved.get(node.module or "", node.module)
        return node

    def visit_For(self, node: ast.For) -> ast.For:
        self._names |= questions.written_out(node.target, node.iter, self._names)
        self.generic_visit(node)
        return node

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return self._comprehension(node, node.generators)

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self._comprehension(node, node.generators)

    def visit_SetComp(self, node: ast.SetComp) -> ast.expr:
        return self._comprehension(node, node.generators)

    def visit_DictComp(self, node: ast.DictComp) -> ast.expr:
        return self._comprehension(node, node.generators)

    def _comprehension(self, node: ast.expr, loops: list[ast.comprehension]) -> ast.expr:
        for loop in loops:
            self._names |= questions.written_out(loop.target, loop.iter, self._names)
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        if called == "bindings":
            return ast.Name("trt", ast.Load())
        names = questions.names_of(node, self._names) if called in ("hasattr", "getattr") else None
        if names is None:
            return node
        if called == "hasattr":
            return self._gate(node, names)
        return self._got(node, names[0]) if len(names) == 1 else node

    def _gate(self, call: ast.Call, names: tuple[str, ...]) -> ast.expr:
        """``call``, a ``hasattr``: with a question, or with what was answered."""
        if self._asking:
            return questions.gated(call, names)
        has = self._learnt.has.get((self._line, names[0])) if len(names) == 1 else None
        return call if has is None else ast.Constant(has)

    def _got(self, call: ast.Call, name: str) -> ast.expr:
        """``call``, a ``getattr``, as the attribute itself; behind ``hasattr`` where there is a default."""
        attribute = ast.Attribute(call.args[0], name, ast.Load())
        if len(call.args) == 2:
            return attribute
        has = ast.Call(ast.Name("hasattr", ast.Load()), [call.args[0], ast.Constant(name)], [])
        return ast.IfExp(self._gate(has, (name,)), attribute, call.args[2])

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """``asked.runtime == "tensorrt_rtx"`` is so or is not: what is for the other is none of this version's."""
        self.generic_visit(node)
        match node:
            case ast.Compare(ops=[ast.Eq() | ast.NotEq() as how], comparators=[ast.Constant(value=str(runtime))]):
                if runtime in RUNTIMES:
                    return ast.Constant((runtime == self._version.runtime) == isinstance(how, ast.Eq))
        return node


def _imported(tree: ast.Module) -> set[str]:
    """Modules, under the names that they have in the file; ``trt`` among them."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import))
    return {"trt"} | {(alias.asname or alias.name).partition(".")[0] for each in imports for alias in each.names}


def _constants(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    pairs = ((one.targets[0], questions.texts(one.value)) for one in tree.body if isinstance(one, ast.Assign))
    return {target.id: names for target, names in pairs if isinstance(target, ast.Name) and names is not None}


def _all(tree: ast.AST, kind: type[Node]) -> list[Node]:
    return [node for node in ast.walk(tree) if isinstance(node, kind)]


def _questions(tree: ast.AST, after: ast.AST) -> Iterator[Question]:
    """Where those that were put into ``tree`` stand in what it was written as."""
    for asked, stands in zip(_reveals(tree), _reveals(after), strict=True):
        yield Question(stands.args[0].lineno, stands.args[0].col_offset, *asked.question)  # type: ignore[attr-defined]


def _reveals(tree: ast.AST) -> list[ast.Call]:
    return [
        call for call in _all(tree, ast.Call) if isinstance(call.func, ast.Name) and call.func.id == questions.REVEAL
    ]
