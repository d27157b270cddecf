"""Lowering: pull the expression of a result through views down to what is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from nbgrad.core.tape import Atom, Equation, Literal, Var
from nbgrad.ops.kinds.forms import Expression, View, index_map
from nbgrad.program import index
from nbgrad.program.index import IndexMap
from nbgrad.program.nest import Compute, Constant, Guard, Load, Select, Value

# Of a kernel. Cut into kernels of 100, code that shares most of its values computes them again in each: 24
# kernels of 5 times the work instead of one, and longer to compile. Above some hundred, LLVM's time grows faster.
MAX_STATEMENTS = 600
# The same where parts are read in windows: under each combination of these a value is another one.
MAX_IN_WINDOWS = 100


class MustMaterialize(Exception):
    """A value that this nest cannot recompute; the planner stores it and plans again."""

    def __init__(self, var: Var) -> None:
        super().__init__(var)
        self.var = var


class TooLong(Exception):
    """A nest has more statements than a kernel should; the planner cuts it."""


class Body:
    """The values of one nest in order, each computed once for each index map it is read at."""

    def __init__(
        self,
        n_loops: int,
        producers: dict[Var, Equation],
        stored: set[Var],
        extents: tuple[int, ...],
    ) -> None:
        self.n_loops = n_loops
        self.extents = extents
        self.producers = producers
        self.stored = stored
        self.values: list[Value] = []
        self.memo: dict[Any, int] = {}
        self.local: set[Var] = set()
        self.names: list[str] = []
        self.most = MAX_STATEMENTS

    def add(self, key: Any, value: Value) -> int:
        if key not in self.memo:
            self.most = MAX_IN_WINDOWS if getattr(value, "guards", ()) else self.most
            if len(self.values) >= 4 * self.most:
                raise TooLong  # pads of pads are read under every combination of their windows
            self.memo[key] = len(self.values)
            self.values.append(value)
        return self.memo[key]

    def pull(self, atom: Atom, imap: IndexMap, guards: tuple[Guard, ...], dtype: Any) -> int:
        """Return the number of the value of *atom* read at *imap*, under *guards*."""
        if not imap:
            guards = ()  # a 0-d value is always there to be read
        if isinstance(atom, Literal):
            return self.add(("number", repr(atom.value), dtype), Constant(atom.value, dtype))
        local = atom in self.local and imap == index.identity(self.n_loops)
        if atom not in self.producers or (atom in self.stored and not local):
            return self.load(atom, imap, guards)
        key = (atom, imap, guards)
        if key in self.memo:
            return self.memo[key]
        eqn = self.producers[atom]
        if isinstance(eqn.prim.lower, View):
            number = self.view(eqn, imap, guards)
        else:
            number = self.compute(eqn, imap, guards)
        self.memo[key] = number
        return number

    def load(self, var: Var, imap: IndexMap, guards: tuple[Guard, ...]) -> int:
        strides, offset = index.flatten(imap, var.aval.shape, self.n_loops)
        value = Load(var, strides, offset, var.aval.dtype, guards)
        return self.add(value, value)

    def view(self, eqn: Equation, imap: IndexMap, guards: tuple[Guard, ...]) -> int:
        """Follow a linear primitive that only moves elements."""
        x = eqn.inputs[0]
        out, p = eqn.out.aval, eqn.params
        kind = eqn.prim.lower.name
        if kind == "full":
            return self.pull(x, (), guards, out.dtype)
        assert isinstance(x, Var)
        shape = x.aval.shape
        if kind == "broadcast_to":
            moved = index.broadcast(imap, shape, out.shape)
            return self.pull(x, moved, guards, out.dtype)
        if kind == "transpose":
            return self.pull(x, index.transpose(imap, p["perm"]), guards, out.dtype)
        if kind == "slice":
            return self.pull(x, index.slice_(imap, p["starts"], p["steps"]), guards, out.dtype)
        if kind == "reshape":
            return self.reshape(eqn, x, imap, guards)
        return self.pad(eqn, x, imap, guards)

    def reshape(self, eqn: Equation, x: Var, imap: IndexMap, guards: tuple[Guard, ...]) -> int:
        while x in self.producers and x not in self.stored and _is_reshape(self.producers[x]):
            (x,) = self.producers[x].inputs  # type: ignore[assignment]
        shapes = x.aval.shape, eqn.out.aval.shape
        moved = index.squeeze(imap, *shapes, self.n_loops)
        if moved is None and len(self.extents) == self.n_loops:
            moved = index.split(imap, *shapes, self.extents)
        if moved is not None:
            return self.pull(x, moved, guards, x.aval.dtype)
        if x in self.producers and x not in self.stored:
            raise MustMaterialize(x)
        # A stored buffer is contiguous, so another shape of it is only other strides.
        strides, offset = index.flatten(imap, eqn.out.aval.shape, self.n_loops)
        value = Load(x, strides, offset, x.aval.dtype, guards)
        return self.add(value, value)

    def pad(self, eqn: Equation, x: Var, imap: IndexMap, guards: tuple[Guard, ...]) -> int:
        p = eqn.params
        found = index.pad(imap, x.aval.shape, eqn.out.aval.shape, p["starts"], p["steps"])
        if found is None:
            raise MustMaterialize(eqn.out)
        moved, new, inside = found
        if not inside:
            return self.pull(Literal(0), (), (), x.aval.dtype)
        if not new:
            return self.pull(x, moved, guards, x.aval.dtype)
        inner = self.pull(x, moved, tuple(dict.fromkeys((*guards, *new))), x.aval.dtype)
        value = Select(inner, x.aval.dtype, new, guards)
        return self.add((value, "select"), value)

    def is_uniform(self, number: int) -> bool:
        """Whether a value is the same at every point of the nest and always there."""
        value = self.values[number]
        if isinstance(value, Load):
            return not any(value.strides) and not value.guards
        return isinstance(value, Constant) or (isinstance(value, Compute) and value.uniform)

    def compute(self, eqn: Equation, imap: IndexMap, guards: tuple[Guard, ...]) -> int:
        """Add the statement of an elementwise equation, after those of its operands."""
        args = []
        for atom, dtype in zip(eqn.inputs, eqn.sig.loop, strict=True):
            scalar = isinstance(atom, Var) and not atom.aval.ndim
            args.append(self.pull(atom, () if scalar else imap, guards, dtype))
        if len(self.names) >= min(2 * self.most, MAX_STATEMENTS):
            raise TooLong
        uniform = not imap and all(self.is_uniform(a) for a in args)
        text = text_of(eqn)
        self.names.append(eqn.prim.name)
        value = Compute(
            eqn.prim.name,
            text,
            tuple(args),
            eqn.out.aval.dtype,
            eqn.sig.loop[-1] if eqn.sig.loop else eqn.out.aval.dtype,
            guards,
            uniform,
        )
        return self.add((eqn.out, imap, guards, "compute"), value)


def _is_reshape(eqn: Equation) -> bool:
    return index_map(eqn.prim) == "reshape"


CODES = {
    np.dtype(np.float64): "f8",
    np.dtype(np.float32): "f4",
    np.dtype(np.int64): "i8",
    np.dtype(np.int32): "i4",
    np.dtype(np.int16): "i2",
    np.dtype(np.int8): "i1",
    np.dtype(np.uint64): "u8",
    np.dtype(np.uint32): "u4",
    np.dtype(np.uint16): "u2",
    np.dtype(np.uint8): "u1",
    np.dtype(np.bool_): "b1",
}


# Those that kernels on a card have besides.
CARD_CODES = {
    np.dtype(np.float16): "f2",
    np.dtype(np.complex64): "z8",
    np.dtype(np.complex128): "z16",
}
ALL_CODES = CODES | CARD_CODES
HALF = np.dtype(np.float16)

# Beginnings of names that texts may call, and the target of a program that is being made has not.
LACKING = {"cpu": (), "cuda": ("scipy_", "special_")}
_lacks: ContextVar[tuple[str, ...]] = ContextVar("lacks", default=())


@contextmanager
def planning(target: str) -> Iterator[None]:
    """Let what is emittable be so for *target*, in this thread."""
    token = _lacks.set(LACKING[target])
    try:
        yield
    finally:
        _lacks.reset(token)


def on_card() -> bool:
    """Whether the program that is being made is for a card."""
    return bool(_lacks.get())


def has_code(dtype: np.dtype[Any]) -> bool:
    """Whether kernels for the target have numbers of *dtype*."""
    return dtype in CODES or (dtype in CARD_CODES and on_card())


def text_of(eqn: Equation) -> str:
    """The kernel text of an elementwise equation, over the names of operands."""
    lower = eqn.prim.lower
    given = lower.text
    if lower.complex_text and "c" in {d.kind for d in (*eqn.sig.loop, eqn.out.aval.dtype)}:
        given = lower.complex_text
    elif lower.mixed_text and {d.kind for d in eqn.sig.loop} == {"i", "u"}:
        given = lower.mixed_text
    text: str = given(eqn.params) if callable(given) else given
    return text


def emittable(eqn: Equation) -> bool:
    """Whether an elementwise equation has kernel text for its dtypes."""
    lower = eqn.prim.lower
    if not isinstance(lower, Expression) or not (lower.text or lower.complex_text):
        return False
    dtypes = [*eqn.sig.loop, eqn.out.aval.dtype]
    if not all(map(has_code, dtypes)):
        return False
    if lacks := _lacks.get():
        text = text_of(eqn)
        if not text or any(name in text for name in lacks):
            return False
    kinds = {d.kind for d in dtypes}
    if HALF in dtypes:  # is stored, not computed with
        return eqn.prim.structural and "c" not in kinds
    if "c" in kinds and lower.complex_text:
        return kinds.isdisjoint("iu")
    # The condition of where is boolean beside operands of another kind.
    kinds = {d.kind for d in eqn.sig.loop}
    if len(eqn.sig.loop) > 1 and len(kinds) > 1:
        kinds.discard("b")
    return bool(lower.text) and kinds <= set(lower.dtypes)
