"""Reading expressions: what they are, and the statements that compute them."""

from __future__ import annotations

import ast
import builtins
import functools
import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nbgrad.structured import calls
from nbgrad.structured.build import Builder
from nbgrad.structured.ir import Block, Const, Refused, Val
from nbgrad.structured.rules import DTYPES
from nbgrad.structured.spread import mapped
from nbgrad.structured.views import Part, View, fetched, size_of, subscripted

CODES = {dtype: code for code, dtype in DTYPES.items()}


class Span(NamedTuple):
    """What a loop goes through: a range, and what a number of it stands for."""

    start: Val
    stop: Val
    step: Val
    bind: Callable[[Val], Any]


class Expressions:
    """Reads expressions; ``env`` has the variables, ``names`` what the function sees from outside."""

    def __init__(
        self, build: Builder, names: dict[str, Any], checks: bool, stack: tuple[Any, ...]
    ) -> None:
        self.build = build
        self.names = names
        self.checks = checks
        self.stack = stack
        self.env: dict[str, Any] = {}

    def value(self, node: ast.expr) -> Any:
        """What an expression is: a scalar, a view, a tuple, or an object from outside."""
        read = getattr(self, f"value_{node.__class__.__name__}", None)
        if read is None:
            raise Refused(f"the expression {node.__class__.__name__}", getattr(node, "lineno", 0))
        return read(node)

    def scalar(self, node: ast.expr) -> Val:
        found = self.value(node)
        if not isinstance(found, Val):
            raise Refused(f"{ast.unparse(node)}, which is no scalar", node.lineno)
        return found

    def test(self, node: ast.expr) -> Val:
        return self.build.truth(self.scalar(node))

    def loaded(self, view: View) -> Any:
        return view if view.ndim else fetched(self.build, view)

    def outside(self, value: Any) -> Any:
        """An object from outside of the function."""
        build = self.build
        if isinstance(value, bool | np.bool_):
            return build.const(bool(value), "b1")
        if isinstance(value, int | np.int64 | np.int32):
            if not -(1 << 63) <= value < 1 << 63:
                raise Refused("an integer of more than 64 bits")
            return build.integer(int(value))
        if isinstance(value, float):  # np.float64 is one
            return build.const(float(value), "f8")
        if isinstance(value, np.float32):
            return build.const(float(value), "f4")
        if isinstance(value, tuple):
            return tuple(self.outside(v) for v in value)
        if isinstance(value, complex | np.ndarray | list | dict | set):
            raise Refused(f"a global {type(value).__name__}")
        return value

    def value_Constant(self, node: ast.Constant) -> Any:
        return self.outside(node.value)

    def value_Name(self, node: ast.Name) -> Any:
        if node.id in self.env:
            found = self.env[node.id]
            if found.__class__.__name__ in ("Missing", "Carried"):
                raise Refused(
                    f"{node.id}, which may be unassigned here, or another array in each run"
                )
            return found
        if node.id in self.names:
            return self.outside(self.names[node.id])
        if hasattr(builtins, node.id):
            return getattr(builtins, node.id)
        raise Refused(f"{node.id}, which is not assigned before")

    def value_Tuple(self, node: ast.Tuple) -> Any:
        return tuple(self.value(x) for x in node.elts)

    def value_UnaryOp(self, node: ast.UnaryOp) -> Any:
        x = self.value(node.operand)
        kind = node.op.__class__.__name__
        if isinstance(x, View) and kind == "USub":
            return mapped(self.build, self.build.minus, (x,))
        if not isinstance(x, Val):
            raise Refused(f"{kind} of an array")
        if kind == "USub":
            return self.build.minus(x)
        if kind == "UAdd":
            return x
        if kind == "Not":
            return self.build.negated(x)
        if x.code == "i8":
            return self.build.plain("~{0}", "i8", x)
        raise Refused("~ of what is no integer")

    def value_BinOp(self, node: ast.BinOp) -> Any:
        return self.binary(
            node.op.__class__.__name__, self.value(node.left), self.value(node.right)
        )

    def binary(self, name: str, x: Any, y: Any) -> Any:
        if isinstance(x, Val) and isinstance(y, Val):
            return self.build.arithmetic(name, x, y)
        if isinstance(x, tuple) and isinstance(y, tuple) and name == "Add":
            return x + y
        if isinstance(x, View) or isinstance(y, View):
            if name == "MatMult":
                return calls.MAKERS[np.dot](self, x, y)
            one = functools.partial(self.build.arithmetic, name)
            return mapped(self.build, one, (x, y))
        raise Refused(f"{name} of what are no numbers")

    def value_Compare(self, node: ast.Compare) -> Any:
        left = self.value(node.left)
        found: Val | None = None
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            name = op.__class__.__name__
            if name in ("Is", "IsNot"):
                truth: Val = self.build.const((left is right) == (name == "Is"), "b1")
                if isinstance(left, Val) and isinstance(right, Val):
                    raise Refused("is between scalars")
            elif isinstance(left, str) and isinstance(right, str) and name in ("Eq", "NotEq"):
                truth = self.build.const((left == right) == (name == "Eq"), "b1")
            elif isinstance(left, Val) and isinstance(right, Val):
                truth = self.build.compared(name, left, right)
            elif isinstance(left, View) or isinstance(right, View):
                if len(node.ops) > 1:
                    raise Refused("comparisons of arrays in a row")
                one = functools.partial(self.build.compared, name)
                return mapped(self.build, one, (left, right))
            else:
                raise Refused("a comparison of what are no scalars")
            found = truth if found is None else self.build.both(found, truth)
            left = right
        assert found is not None
        return found

    def value_BoolOp(self, node: ast.BoolOp) -> Val:
        """``and`` and ``or`` of booleans: what follows is computed only where it is asked for."""
        conjunction = isinstance(node.op, ast.And)
        found = self.scalar(node.values[0])
        for inner in node.values[1:]:
            if found.code != "b1":
                raise Refused("and, or of what are no booleans")
            cond = found if conjunction else self.build.negated(found)
            rest = functools.partial(self.scalar, inner)
            short = functools.partial(_itself, found)
            found = self.chosen(cond, rest, short)
        return found

    def value_IfExp(self, node: ast.IfExp) -> Any:
        return self.chosen(
            self.test(node.test), lambda: self.value(node.body), lambda: self.value(node.orelse)
        )

    def chosen(self, cond: Val, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
        """One of two values, of which the other is not computed."""
        if cond.__class__ is Const:
            return first() if cond.value else second()
        env, found, blocks = dict(self.env), [], []
        for read in (first, second):
            self.env, block = dict(env), Block()
            with self.build.within(block):
                found.append(read())
            blocks.append(block)
        self.env = env
        x, y = found
        if isinstance(x, Val) and isinstance(y, Val):
            return self.build.choice(cond, blocks[0], blocks[1], [(x, y)])[0]
        if (
            isinstance(x, tuple)
            and isinstance(y, tuple)
            and len(x) == len(y)
            and all(isinstance(v, Val) for v in (*x, *y))
        ):
            pairs = list(zip(x, y, strict=True))
            return tuple(self.build.choice(cond, blocks[0], blocks[1], pairs))
        raise Refused("a choice between arrays")

    # ----------------------------------------------------------------------------------- arrays

    def key(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            step = 1 if node.step is None else self.scalar(node.step)
            if isinstance(step, Val):
                if step.__class__ is not Const:
                    raise Refused("a slice whose step is no literal")
                step = step.value
            bounds = [None if b is None else self.value(b) for b in (node.lower, node.upper)]
            lower, upper = (b if isinstance(b, Val) else None for b in bounds)
            return Part(lower, upper, step)
        found = self.value(node)
        if found is Ellipsis or isinstance(found, Val):
            return found
        raise Refused(f"an index {ast.unparse(node)} that is no integer")

    def place(self, node: ast.Subscript) -> View:
        """The part of an array that a subscript names."""
        held = self.value(node.value)
        if not isinstance(held, View):
            raise Refused("an assignment to an item of what is no array")
        inner = node.slice
        if isinstance(inner, ast.Tuple):
            keys = [self.key(k) for k in inner.elts]
        elif isinstance(inner, ast.Name) and isinstance(self.env.get(inner.id), tuple):
            keys = list(self.env[inner.id])
        else:
            keys = [self.key(inner)]
        return subscripted(self.build, held, keys, self.checks)

    def value_Subscript(self, node: ast.Subscript) -> Any:
        held = self.value(node.value)
        if isinstance(held, tuple):
            return self.item(held, node.slice)
        return self.loaded(self.place(node))

    def item(self, held: tuple[Any, ...], node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            found = self.key(node)
            first, last = (getattr(b, "value", None) for b in (found.start, found.stop))
            return held[slice(first, last, found.step)]
        index = self.scalar(node)
        if (
            index.__class__ is not Const
            or index.code != "i8"
            or not -len(held) <= index.value < len(held)
        ):
            raise Refused("an item of a tuple by a number that is no literal")
        return held[index.value]

    def value_Attribute(self, node: ast.Attribute) -> Any:
        held = self.value(node.value)
        if isinstance(held, View):
            if node.attr == "shape":
                return held.shape
            if node.attr == "ndim":
                return self.build.integer(held.ndim)
            if node.attr == "size":
                return size_of(self.build, held.shape)
            if node.attr == "T":
                return View(held.array, held.offset, held.shape[::-1], held.strides[::-1])
            if node.attr == "dtype":
                return DTYPES[held.code]
            return calls.Method(held, node.attr)
        if isinstance(held, calls.Named):
            return held[held.names.index(node.attr)] if node.attr in held.names else _no(node)
        if isinstance(held, types.ModuleType | type | np.dtype):
            return self.outside(getattr(held, node.attr))
        return _no(node)

    def value_Call(self, node: ast.Call) -> Any:
        function = self.value(node.func)
        if any(isinstance(a, ast.Starred) for a in node.args) or any(
            k.arg is None for k in node.keywords
        ):
            raise Refused("a call with * or **", node.lineno)
        args = [self.value(a) for a in node.args]
        keywords = {str(k.arg): self.value(k.value) for k in node.keywords}
        return calls.call(self, function, args, keywords)

    def iterated(self, node: ast.expr) -> Any:
        """What a ``for`` goes through: a tuple, or start, stop, step and what an index stands for."""
        build = self.build
        zero, one = build.integer(0), build.integer(1)
        if isinstance(node, ast.Call) and isinstance(
            getattr(node.func, "value", node.func), ast.Name
        ):
            function = self.value(node.func)
            if function is range or getattr(function, "__name__", "") == "prange":
                ends = [self.scalar(a) for a in node.args]
                if any(e.code != "i8" for e in ends):
                    raise Refused("range of what are no integers")
                start, stop, step = calls.span(ends, zero, one)
                return Span(start, stop, step, lambda i: i)
            if function is enumerate and len(node.args) == 1:
                found = self.iterated(node.args[0])
                if isinstance(found, Span):
                    if found.start is not zero or found.step is not one:
                        raise Refused("enumerate of a range that does not begin at 0")
                    return found._replace(bind=lambda i: (i, found.bind(i)))
                return tuple((build.integer(k), x) for k, x in enumerate(found))
            if function is zip:
                return self.zipped([self.value(a) for a in node.args])
        value = self.value(node)
        if isinstance(value, View) and value.ndim:
            return Span(zero, value.shape[0], one, lambda i: self.row(value, i))
        if isinstance(value, tuple):
            return value
        raise Refused(f"a loop over {ast.unparse(node)}")

    def row(self, view: View, index: Val) -> Any:
        return self.loaded(subscripted(self.build, view, (index,), False))

    def zipped(self, views: Sequence[Any]) -> Any:
        build = self.build
        if not views or not all(isinstance(v, View) and v.ndim for v in views):
            raise Refused("zip of what are no arrays")
        count = views[0].shape[0]
        for v in views[1:]:
            if v.shape[0] is not count:
                count = build.plain("min({0}, {1})", "i8", count, v.shape[0])
        build.natural.add(count)
        zero, one = build.integer(0), build.integer(1)
        return Span(zero, count, one, lambda i: tuple(self.row(v, i) for v in views))


def _no(node: ast.Attribute) -> Any:
    raise Refused(f"the attribute {node.attr}", node.lineno)


def _itself(x: Any) -> Any:
    return x
