"""Blocks of a long dimension: what is between products of small matrices stays in the cache of a core.

The points of a mixture go through the same equations one apart from the other, and what is asked for are sums over
them. Array by array all of that goes through memory, and comes back. Here the equations are the body of
a loop, each run of which does some hundred points; the sums of the runs are added afterwards, in order.
"""

from __future__ import annotations

from typing import Any, Final

from nbgrad.core.aval import make_aval
from nbgrad.core.lazy import LazyModule
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.tape import Body, Equation, Literal, Tape, Var, living
from nbgrad.ops.axes import Lost
from nbgrad.ops.basis import cast, concatenate, reshape, slice_, sum_, transpose
from nbgrad.ops.kinds.algebra import MATRIX_PRODUCT
from nbgrad.ops.kinds.forms import Rounds
from nbgrad.program.along import Along, resized
from nbgrad.program.fuse import assembly_of, is_free, is_reduction
from nbgrad.program.recorded import recorded
from nbgrad.program.upright import SHORT
from nbgrad.program.values import has_code

loops, scanning = LazyModule("nbgrad.ops.control.loops"), LazyModule("nbgrad.ops.control.scan")

LEAST: Final = 1 << 20  # bytes of an array that is worth it
BYTES: Final = 1 << 18  # of the largest array of a block
SHORTEST: Final = 64  # rows of a block
FEW: Final = 4  # blocks, at least


def blocked(tape: Tape) -> Tape:
    """*tape* with a loop over the blocks of a dimension, if products of small matrices are large along it."""
    sizes = {
        max(a.aval.shape)
        for eqn in tape.eqns
        if eqn.sig.prim.algebra is MATRIX_PRODUCT
        for a in _large(eqn)
    }
    for var in tape.inputs if sizes else ():
        for at, n in enumerate(var.aval.shape):
            if n not in sizes:
                continue
            try:
                found = _Blocks(Along(tape, var, at))
            except Lost:
                continue
            if found.pays():
                return found.written()
    return tape


def _has_code(eqn: Equation) -> bool:
    """Whether it is no call of NumPy: a loop with such a call is one itself."""
    if eqn.sig.prim.algebra is MATRIX_PRODUCT:
        return has_code(eqn.out.aval.dtype) and eqn.out.aval.dtype.kind == "f"
    return is_free(eqn) or is_reduction(eqn) or assembly_of(eqn) is not None


def _large(eqn: Equation) -> list[Any]:
    return [a for a in (eqn.out, *eqn.inputs) if a.aval.nbytes >= LEAST]  # type: ignore[union-attr]


def _rows(size: int, width: int) -> int:
    """Rows of a block whose largest array has *width* bytes a row: such that all have as many, if that can be."""
    about = max(SHORTEST, BYTES // max(1, width) // 8 * 8)
    even = [n for n in range(8, 2 * about + 1, 8) if size % n == 0 and about <= 2 * n]
    return min(even, key=lambda n: max(n / about, about / n), default=about)


class _Blocks:
    """The equations of a loop over blocks, those before it and those after it.

    The loop reads what is ``given``, and makes ``sums`` and what is kept ``whole``.
    """

    def __init__(self, along: Along) -> None:
        self.along, self.tape = along, along.tape
        self.body: list[Equation] = []
        self.before: list[Equation] = []
        self.after: list[Equation] = []
        self._part()
        made = {eqn.out for eqn in self.body}
        read = {a for eqn in self.after for a in eqn.inputs} | set(self.tape.outputs)
        self.sums = [eqn.out for eqn in self.body if eqn.out in along.sums and eqn.out in read]
        self.whole = [eqn.out for eqn in self.body if eqn.out in along.axis and eqn.out in read]
        given = [a for eqn in self.body for a in eqn.inputs if isinstance(a, Var)]
        self.given = [a for a in dict.fromkeys(given) if a not in made]
        width = max((v.aval.nbytes for v in made if v in along.axis), default=0) // along.size
        self.rows = _rows(along.size, width)

    def _part(self) -> None:
        """Find out what is in the loop, before it and after it."""
        inside, late = self.along.inside | self.along.sums, set[Any]()
        for eqn in self.tape.eqns:
            ready = late.isdisjoint(eqn.inputs)
            if eqn.out not in inside:
                (self.before if ready else self.after).append(eqn)
            elif all(a in self.along.inside for a in eqn.inputs if a in late):
                self.body.append(eqn)
            else:
                raise Lost  # needs what is known after the loop
            if not ready or eqn.out in inside:
                late.update(eqn.outs)

    def pays(self) -> bool:
        """Whether less goes through memory, while the products lose nothing."""
        along = self.along
        products = [eqn for eqn in self.body if eqn.sig.prim.algebra is MATRIX_PRODUCT]
        stored: set[Any] = {a for eqn in products for a in (eqn.out, *eqn.inputs)}
        spared = sum(v.aval.nbytes for v in stored & along.inside - set(self.whole))
        small = all(self._is_small(eqn) for eqn in products)
        written = sum(v.aval.nbytes for v in self.whole)
        written += sum(v.aval.nbytes for v in self.sums) * (along.size // self.rows)
        enough = spared >= 2 * LEAST and written <= spared // 2
        code = all(_has_code(eqn) for eqn in self.body)
        return enough and small and code and along.size >= FEW * self.rows

    def _is_small(self, eqn: Equation) -> bool:
        """Whether all sides of a product but the long one are short: BLAS wants large matrices."""
        a, b = (x.aval.shape for x in eqn.inputs)  # type: ignore[union-attr]
        left, right = (self.along.axis.get(x) for x in eqn.inputs)
        long = [left == len(a) - 2, left == len(a) - 1, right == len(b) - 1]
        sides = zip((*a[-2:], b[-1]), long, strict=True)
        return any(long) and all(n <= SHORT for n, is_long in sides if not is_long)

    def written(self) -> Tape:
        """The tape with the loop."""
        results = [*self.sums, *self.whole]
        eqns, _ = recorded(self._loop, self.given, self.body[-1].line, results)
        outputs = self.tape.outputs
        eqns = living([*self.before, *eqns, *self.after], outputs)
        return Tape(self.tape.inputs, tuple(eqns), outputs)

    def _loop(self, *given: Any) -> list[Node]:
        """What is made of all blocks, and of what is left."""
        values, axis = dict(zip(self.given, given, strict=True)), self.along.axis
        count, rest = divmod(self.along.size, self.rows)
        parted = [v for v in self.given if v in axis]
        constants = {v: _array(v, x) for v, x in values.items() if v not in axis}
        stacks = {v: self._stack(values[v], axis[v], count) for v in parted}
        inside = {v: placeholder(x.aval) for v, x in constants.items()}
        inside |= {v: placeholder(make_aval(x.shape[1:], x.dtype)) for v, x in stacks.items()}
        body, _ = linearize(self._once(inside, self.rows), list(inside.values()))
        rounds = Rounds(len(constants), 0, count, False)
        operands = (*constants.values(), *stacks.values())
        found = list(loops.as_tuple(scanning.scan(*operands, body=Body(body), rounds=rounds)))
        n = len(self.sums)
        found[:n] = [sum_(x, axis=(0,), keepdims=False) for x in found[:n]]
        places = [axis[v] for v in self.whole]
        found[n:] = [_whole(x, at) for x, at in zip(found[n:], places, strict=True)]
        if rest:
            last = {v: _end(values[v], axis[v], rest) for v in parted}
            left = self._once(constants | last, rest)
            found[:n] = [a + b for a, b in zip(found[:n], left, strict=False)]
            ends = zip(found[n:], left[n:], places, strict=True)
            found[n:] = [concatenate(a, b, axis=at) for a, b, at in ends]
        return found

    def _once(self, env: dict[Any, Any], rows: int) -> list[Node]:
        """What is made of so many *rows*; numbers, which are arrays outside, are numbers again."""
        env = {v: cast(x, dtype=x.dtype, weak=True) if v.aval.weak else x for v, x in env.items()}
        for eqn in self.body:
            xs = [a.value if isinstance(a, Literal) else env[a] for a in eqn.inputs]
            env[eqn.out] = resized(eqn, xs, self.along.axis.get(eqn.out), rows)
        return [env[v] for v in (*self.sums, *self.whole)]

    def _stack(self, x: Node, at: int, count: int) -> Node:
        """The rows that each run reads."""
        shape, used = x.shape, count * self.rows
        if used != shape[at]:
            sizes = (*shape[:at], used, *shape[at + 1 :])
            x = slice_(x, starts=(0,) * x.ndim, sizes=sizes, steps=(1,) * x.ndim)
        x = reshape(x, shape=(*shape[:at], count, self.rows, *shape[at + 1 :]))
        order = (at, *(k for k in range(x.ndim) if k != at))
        return transpose(x, perm=order) if at else x


def _array(var: Var, x: Node) -> Node:
    """*x* in memory of its own, if *var* is a number that is given with each call."""
    return cast(x, dtype=x.dtype) if var.weak or x.aval.weak else x


def _whole(x: Node, at: int) -> Node:
    """What all runs made, *at* being the dimension of their rows in what each made."""
    order = (*range(1, at + 1), 0, *range(at + 1, x.ndim))
    x = transpose(x, perm=order) if at else x
    shape = x.shape
    return reshape(x, shape=(*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]))  # type: ignore[no-any-return]


def _end(x: Node, at: int, rest: int) -> Node:
    """The last rows of *x*."""
    sizes = (*x.shape[:at], rest, *x.shape[at + 1 :])
    starts = tuple([x.shape[k] - n for k, n in enumerate(sizes)])
    return slice_(x, starts=starts, sizes=sizes, steps=(1,) * x.ndim)  # type: ignore[no-any-return]
