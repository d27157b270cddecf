"""Statements of kernel text as basic blocks of one LLVM function.

Variables are places on the stack, which LLVM keeps in registers. A variable has one kind; where nothing
branches or repeats, one that is given a value of another kind is another variable from there on.
"""

from __future__ import annotations

import ast
from typing import Any, Final

from llvmlite import ir

from nbgrad.machine.frontend.expressions import I64, Writer
from nbgrad.machine.frontend.kinds import BYTE, Kind, Typed, Unsupported, joined
from nbgrad.machine.frontend.operations import binary, converted, parts

BUILTINS: Final = {"max": max, "min": min, "abs": abs, "range": range}


class Function(Writer):
    """Writes one function: its parameters, then its body, then `finish`."""

    loop_note: Any = None  # metadata of each loop
    result: Kind | None = None  # what it must return; else what its returns have in common

    def start(self, node: ast.FunctionDef, kinds: tuple[Kind, ...], values: Any) -> None:
        """Bind the parameters."""
        given = node.args
        if given.vararg or given.kwarg or given.kwonlyargs or len(given.args) != len(kinds):
            raise Unsupported(f"{node.name} called with {len(kinds)} operands")
        self.depth = 0
        self.returns: list[tuple[Any, Typed | None]] = []
        self.targets: list[tuple[Any, Any]] = []
        for arg, kind, value in zip(given.args, kinds, values, strict=True):
            self.assign(arg.arg, Typed(kind, value))

    def finish(self, ended: bool) -> Kind:
        """Write the returns, all of one kind, which is returned."""
        if not ended:
            self.returns.append((self.b.block, None))
        kind: Kind = self.result
        for _, x in self.returns if kind is None else ():
            here = "none" if x is None else x.kind
            kind = here if kind is None else joined(kind, here)
        if kind is None:
            raise Unsupported("a function that never returns")
        for block, x in self.returns:
            self.b.position_at_end(block)
            if kind == "none" and x is None:
                self.b.ret_void()
            elif x is None:
                raise Unsupported("an end without a value of a function that returns some")
            else:
                self.b.ret(converted(self.b, x, kind))
        return kind

    # ---------------------------------------------------------------------------------- statements

    def statements(self, nodes: list[ast.stmt]) -> bool:
        """Write statements; whether none behind them is reached."""
        for node in nodes:
            write = getattr(self, f"_{type(node).__name__.lower()}", None)
            if write is None:
                raise Unsupported(f"{type(node).__name__}: {ast.unparse(node)}")
            if write(node):
                return True
        return False

    def assign(self, name: str, x: Typed) -> None:
        """Give a variable a value."""
        known = self.slots.get(name)
        if known is None or known[0] != x.kind:
            if known is not None and self.depth:
                raise Unsupported(f"{name} is {known[0]} and {x.kind}")
            if x.kind == "none":
                raise Unsupported(f"{name} has no value")
            with self.b.goto_entry_block():
                known = self.slots[name] = x.kind, self.b.alloca(x.value.type, name=name)
        self.b.store(x.value, known[1])

    def _target(self, node: ast.expr, x: Typed) -> None:
        if isinstance(node, ast.Name):
            self.assign(node.id, x)
        elif isinstance(node, ast.Tuple) and isinstance(x.kind, tuple):
            for part, value in zip(node.elts, parts(self.b, x), strict=True):
                self._target(part, value)
        elif isinstance(node, ast.Subscript):
            code, place = self.place(node)
            value = converted(self.b, x, code)
            self.b.store(self.b.zext(value, BYTE) if code == "b1" else value, place)
        else:
            raise Unsupported(ast.unparse(node))

    def _assign(self, node: ast.Assign) -> None:
        x = self.expression(node.value)
        for target in node.targets:
            self._target(target, x)

    def _augassign(self, node: ast.AugAssign) -> None:
        before = self.expression(_read(node.target))
        x = self.expression(node.value)
        self._target(node.target, binary(self.b, node.op, before, x, self.flags))

    def _expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.expression(node.value)

    def _pass(self, node: ast.Pass) -> None:
        """Nothing is written."""

    def _return(self, node: ast.Return) -> bool:
        given = node.value
        if given is None or (isinstance(given, ast.Constant) and given.value is None):
            x = None
        else:
            x = self.expression(given)
        self.returns.append((self.b.block, x))
        return True

    def _break(self, node: ast.Break) -> bool:
        self.b.branch(self.targets[-1][1])
        return True

    def _continue(self, node: ast.Continue) -> bool:
        self.b.branch(self.targets[-1][0])
        return True

    def _if(self, node: ast.If) -> bool:
        b = self.b
        bit = self.condition(node.test)
        then, after = b.append_basic_block("then"), b.append_basic_block("after")
        other = b.append_basic_block("else") if node.orelse else after
        b.cbranch(bit, then, other)
        ended = []
        self.depth += 1
        for block, body in ((then, node.body), (other, node.orelse)):
            if body:
                b.position_at_end(block)
                ended.append(self.statements(body))
                if not ended[-1]:
                    b.branch(after)
        self.depth -= 1
        b.position_at_end(after)
        if len(ended) == 2 and all(ended):
            b.unreachable()
            return True
        return False

    # --------------------------------------------------------------------------------------- loops

    def _while(self, node: ast.While) -> bool:
        head, step, after = self._loop(node)
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        self._body(node, None if endless else node.test, step, after)
        self.b.position_at_end(step)
        self._again(head)
        self.b.position_at_end(after)
        if endless and not _leaves(node.body):
            self.b.unreachable()
            return True
        return False

    def _for(self, node: ast.For) -> bool:
        if isinstance(node.iter, ast.Tuple):
            self._each(node, node.iter)
            return False
        b = self.b
        start, stop, step = self._range(node)
        with b.goto_entry_block():
            counter = b.alloca(I64)
        b.store(start, counter)
        left = None
        if not isinstance(step, ir.Constant):
            with b.goto_entry_block():
                left = b.alloca(I64)
            b.store(self._count(start, stop, step), left)
        head, again, after = self._loop(node)
        here = b.load(counter)
        if left is None:
            more = b.icmp_signed("<" if step.constant > 0 else ">", here, stop)
        else:
            more = b.icmp_signed(">", b.load(left), I64(0))
        inside = b.append_basic_block("inside")
        b.cbranch(more, inside, after)
        b.position_at_end(inside)
        self.depth += 1
        self._target(node.target, Typed("i8", here))
        self.depth -= 1
        self._body(node, None, again, after)
        b.position_at_end(again)
        b.store(b.add(b.load(counter), step, flags=("nsw",)), counter)
        if left is not None:
            b.store(b.sub(b.load(left), I64(1), flags=("nsw",)), left)
        self._again(head)
        b.position_at_end(after)
        return False

    def _each(self, node: ast.For, given: ast.Tuple) -> None:
        """The body once for each of some values."""
        if _leaves(node.body, ast.Continue):
            raise Unsupported("continue in a loop over values")
        values = [self.expression(x) for x in given.elts]
        self.depth += 1
        for x in values:
            self._target(node.target, x)
            if self.statements(node.body):
                raise Unsupported("an end of a loop over values")
        self.depth -= 1

    def _range(self, node: ast.For) -> tuple[Any, Any, Any]:
        call = node.iter
        if not isinstance(call, ast.Call) or self.meaning(call.func) is not range or call.keywords:
            raise Unsupported(ast.unparse(node.iter))
        given = [self.expression(arg) for arg in call.args]
        if any(x.kind not in ("i8", "i4") for x in given):
            raise Unsupported(f"a range of {[x.kind for x in given]}")
        values = [converted(self.b, x, "i8") for x in given]
        start, stop, *step = values if len(values) > 1 else [I64(0), *values]
        return start, stop, *(step or [I64(1)])

    def _count(self, start: Any, stop: Any, step: Any) -> Any:
        """How many numbers a range has whose step is not known; none for a step of 0."""
        b, zero, one = self.b, I64(0), I64(1)
        up = b.icmp_signed(">", step, zero)
        way = b.sub(stop, start, flags=("nsw",))
        some = b.select(up, b.icmp_signed(">", way, zero), b.icmp_signed("<", way, zero))
        none = b.icmp_signed("==", step, zero)
        short = b.select(up, b.sub(way, one), b.add(way, one))
        count = b.add(b.sdiv(short, b.select(none, one, step)), one)
        return b.select(b.and_(some, b.not_(none)), count, zero)

    def _loop(self, node: Any) -> tuple[Any, Any, Any]:
        """The blocks where a loop begins again, steps and is over; the first is where we are."""
        if node.orelse:
            raise Unsupported("else of a loop")
        blocks = [self.b.append_basic_block(name) for name in ("head", "step", "over")]
        self.b.branch(blocks[0])
        self.b.position_at_end(blocks[0])
        return blocks[0], blocks[1], blocks[2]

    def _body(self, node: Any, test: ast.expr | None, step: Any, after: Any) -> None:
        """The body of a loop, after its test."""
        if test is not None:
            inside = self.b.append_basic_block("inside")
            self.b.cbranch(self.condition(test), inside, after)
            self.b.position_at_end(inside)
        self.depth += 1
        self.targets.append((step, after))
        if not self.statements(node.body):
            self.b.branch(step)
        self.targets.pop()
        self.depth -= 1

    def _again(self, head: Any) -> None:
        jump = self.b.branch(head)
        if self.loop_note is not None:
            jump.set_metadata("llvm.loop", LoopNote(self.b.module, self.loop_note))


class LoopNote(ir.MDValue):
    """What is said of one loop, which is another note for each."""

    def __init__(self, module: Any, note: Any) -> None:
        super().__init__(module, [note], name=str(len(module.metadata)))

    def descr(self, buf: list[str]) -> None:
        """Append the text."""
        note = self.operands[0].get_reference()
        buf += (f"distinct !{{ {self.get_reference()}, {note} }}", "\n")

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _leaves(body: list[ast.stmt], *kinds: type[ast.stmt]) -> bool:
    """Whether some of the statements break a loop around them, or are of other *kinds*."""
    return any(
        isinstance(node, (ast.Break, *kinds))
        or (
            not isinstance(node, ast.For | ast.While)
            and _leaves([n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)], *kinds)
        )
        for node in body
    )


def _read(target: ast.expr) -> ast.expr:
    """A target of ``op=`` as what it reads."""
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    if isinstance(target, ast.Subscript):
        return ast.Subscript(target.value, target.slice, ast.Load())
    raise Unsupported(ast.unparse(target))
