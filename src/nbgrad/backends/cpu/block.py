"""The block tier: a nest interpreted over blocks of elements, with one kernel per operation.

Each statement of a nest runs over a block that stays in the first-level cache, by a kernel that
serves every program: (operation, dtype) pairs are few and soon all in the object cache, so a new
structure runs without compiling anything. About 2 to 4 times slower than a fused kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from nbgrad.backends.cpu.launch import Code, Launch, Row
from nbgrad.core.aval import make_aval
from nbgrad.core.tape import Var
from nbgrad.machine.compile import compile_kernel, remembered
from nbgrad.machine.scalar import HELPERS
from nbgrad.program.arrange import Arranged
from nbgrad.program.nest import Compute, Constant, Guard, Load, Reduce, Select
from nbgrad.program.text import Number, Pointer, identity_text, is_wide
from nbgrad.program.values import CODES

BLOCK: Final = 512
NO_LIMIT: Final = 1 << 62


# Walks the linear range [lo, hi) of a nest; the table has extents, strides and windows by loop.
_WALK: Final = """
def {name}(lo, hi, x, y, n, table):
    last = n - 1
    width = table[last]
    step = table[n + last]
    first, stop = table[2 * n + last], table[3 * n + last]
    i = lo
    k = 0
    while i < hi:
        rest = i // width
        j = i - rest * width
        run = min(width - j, hi - i)
        place = 0
        inside = True
        for d in range(last - 1, -1, -1):
            up = rest // table[d]
            at = rest - up * table[d]
            rest = up
            place += at * table[n + d]
            inside = inside & (table[2 * n + d] <= at) & (at < table[3 * n + d])
{inner}
        i += run
        k += run
"""

_INNER: Final = {
    "load": """
        whole = inside & (first <= j) & (j + run <= stop)
        for m in range(run):
            if whole:
                y[k + m] = x[place + (j + m) * step]
            elif inside & (first <= j + m) & (j + m < stop):
                y[k + m] = x[place + (j + m) * step]
            else:
                y[k + m] = {code}(0)
""",
    "select": """
        for m in range(run):
            y[k + m] = x[k + m] if inside & (first <= j + m) & (j + m < stop) else {code}(0)
""",
    "store": """
        for m in range(run):
            y[place + (j + m) * step] = x[k + m]
""",
    "reduce": """
        if step == 0:
            total = {identity}
            for m in range(run):
                total = {inner}
            y[place] = {outer}
        else:
            for m in range(run):
                at = place + (j + m) * step
                y[at] = {each}
""",
}

_BLOCKS: Final = """
def nbgrad_blocks(lo, hi, block, n_steps, steps):
    for start in range(lo, hi, block):
        stop = min(start + block, hi)
        step = steps
        for _ in range(n_steps):
            call_kernel(load_pointer(step, 0), start, stop, load_pointer(step, 1))
            step = offset_words(step, 2)
"""


@remembered  # to find a kernel by its text takes 20 µs, and a long tape asks for each many times
def _compiled(source: str, name: str, signature: tuple[str, ...]) -> Code:
    return Code(compile_kernel(source, name, signature, noalias=True, helpers=HELPERS))


def _walker(kind: str, name: str, code: str, to: str = "", **texts: str) -> Code:
    inner = _INNER[kind].strip("\n").format(code=code, **texts)
    source = _WALK.format(name=name, inner=inner)
    return _compiled(source, name, (f"{code}*", f"{to or code}*", "i8", "i8*"))


def _operation(value: Compute, codes: Sequence[str]) -> Code:
    """The kernel of one elementwise operation over a block."""
    loop, out = CODES[value.loop_dtype], CODES[value.dtype]
    names = "xyz"[: len(codes)]
    text = value.text.format(**{c: f"{c}[k]" for c in names}, t=loop, c=loop, to=out)
    if value.dtype.kind in "iu":
        text = f"{out}({text})"
    name = f"block_{value.name}_{'_'.join([*codes, out])}"
    source = f"def {name}(lo, hi, {', '.join(names)}, out):\n"
    source += f"    for k in range(hi - lo):\n        out[k] = {text}\n"
    return _compiled(source, name, (*(f"{c}*" for c in codes), f"{out}*"))


def _fill(code: str) -> Code:
    name = f"block_fill_{code}"
    source = f"def {name}(lo, hi, y, value):\n    for k in range(lo, hi):\n        y[k] = value\n"
    return _compiled(source, name, (f"{code}*", code))


def _reducer(r: Reduce, code: str) -> Code:
    """The kernel that adds a block of values, of type *code*, to partial results."""
    to = "f8" if is_wide(r) else code

    def combined(a: str, b: str) -> str:
        text = r.combine.format(a=a, b=b)
        if r.combine == "{a} + {b}" and r.dtype.kind == "f":
            return f"reduce_add({a}, {b})"
        return f"{code}({text})" if r.dtype.kind in "iu" else text

    return _walker(
        "reduce", f"block_{r.name}_{code}_{to}", code, to,
        identity=identity_text(r), inner=combined("total", "x[k + m]"),
        outer=combined("y[place]", "total"), each=combined("y[at]", "x[k + m]"),
    )  # fmt: skip


class Temporaries:
    """Block-sized buffers for the values of a nest, each reused after its value's last use."""

    def __init__(self) -> None:
        self.slots: list[Var] = []
        self.free: list[Var] = []

    def take(self) -> Var:
        if not self.free:
            self.slots.append(Var(make_aval((BLOCK,), np.dtype(np.float64))))
            return self.slots[-1]
        return self.free.pop()

    def give(self, slot: Var) -> None:
        self.free.append(slot)


def _table(
    extents: Sequence[int], strides: Sequence[int], guards: Sequence[Guard] = ()
) -> tuple[Number, Row]:
    """Arguments ``n, table`` of a walking kernel."""
    first, stop = [-NO_LIMIT] * len(extents), [NO_LIMIT] * len(extents)
    for g in guards:
        first[g.loop] = max(first[g.loop], g.lo)
        stop[g.loop] = min(stop[g.loop], g.hi)
    words = (*extents, *strides, *first, *stop)
    return Number(len(extents)), Row(tuple(Number(int(w)) for w in words))


class BlockNest:
    """Translates one arranged nest into launches."""

    def __init__(self, arranged: Arranged, temporaries: Temporaries) -> None:
        self.nest = arranged.nest
        self.arranged = arranged
        self.temporaries = temporaries
        self.before: list[Launch] = []
        self.steps: list[tuple[Code, tuple[Any, ...]]] = []
        self.slot: dict[int, Var] = {}
        self.partial: dict[Var, Var] = {}

    def launches(self) -> list[Launch]:
        """Fills, then one launch that runs all statements block by block, then final scalings."""
        self._statements()
        for store in self.nest.stores:
            code = CODES[store.dtype]
            place = Pointer(store.buffer, store.offset * store.dtype.itemsize)
            table = _table(self.nest.extents, store.strides)
            kernel = _walker("store", f"block_store_{code}", code)
            self.steps.append((kernel, (Pointer(self.slot[store.arg], 0), place, *table)))
        for r in self.nest.reductions:
            self._reduction(r)
        for slot in set(self.slot.values()):
            self.temporaries.give(slot)
        rows = tuple(word for kernel, args in self.steps for word in (kernel, Row(args)))
        runner = _compiled(_BLOCKS, "nbgrad_blocks", ("i8", "i8", "i8*"))
        args: tuple[Any, ...] = (Number(BLOCK), Number(len(self.steps)), Row(rows))
        return [*self.before, Launch(runner.kernel, args, self.nest.size, 0), *self._after()]

    def _statements(self) -> None:
        last: dict[int, int] = {}
        keep = {s.arg for s in self.nest.stores} | {r.arg for r in self.nest.reductions}
        for k, value in enumerate(self.nest.body):
            for arg in _operands(value):
                last[arg] = k
        constants = {k: v for k, v in enumerate(self.nest.body) if isinstance(v, Constant)}
        for k, constant in constants.items():
            # Filled once, before the blocks, so in buffers that nothing else is written to.
            self.slot[k] = slot = self.temporaries.take()
            code = CODES[constant.dtype]
            fill = (Pointer(slot, 0), Number(constant.value, code))
            self.before.append(Launch(_fill(code).kernel, fill, BLOCK, 0))
        keep.update(constants)
        for k, value in enumerate(self.nest.body):
            if isinstance(value, Constant):
                continue
            self.slot[k] = slot = self.temporaries.take()
            out = Pointer(slot, 0)
            if isinstance(value, Load):
                code = CODES[value.dtype]
                source = Pointer(value.buffer, value.offset * value.dtype.itemsize)
                table = _table(self.nest.extents, value.strides, value.guards)
                self.steps.append(
                    (_walker("load", f"block_load_{code}", code), (source, out, *table))
                )
            elif isinstance(value, Select):
                code = CODES[value.dtype]
                table = _table(self.nest.extents, (0,) * len(self.nest.extents), value.inner)
                source = Pointer(self.slot[value.arg], 0)
                self.steps.append(
                    (_walker("select", f"block_select_{code}", code), (source, out, *table))
                )
            else:
                codes = [CODES[_dtype(self.nest.body[a])] for a in value.args]
                places = tuple(Pointer(self.slot[a], 0) for a in value.args)
                self.steps.append((_operation(value, codes), (*places, out)))
            for arg in set(_operands(value)):
                if last[arg] == k and arg not in keep and arg in self.slot:
                    self.temporaries.give(self.slot.pop(arg))

    def _reduction(self, r: Reduce) -> None:
        """Fill the results with the identity; then every block adds to them."""
        buffer = self.partial.setdefault(r.buffer, self._partial(r))
        code = CODES[buffer.aval.dtype]
        identity: Any = {"0": 0, "1": 1, "True": True, "False": False}.get(r.identity)
        if identity is None:
            sign = -1 if r.identity.startswith("-") else 1
            info = np.iinfo(r.dtype) if r.dtype.kind in "iu" else None
            identity = (info.min if sign < 0 else info.max) if info else sign * np.inf
        fill = (Pointer(buffer, 0), Number(identity, code))
        # All of the buffer: a reduction cut in blocks has more partial results than are used.
        self.before.append(Launch(_fill(code).kernel, fill, buffer.aval.size, 0))
        source = Pointer(self.slot[r.arg], 0)
        table = _table(self.nest.extents, r.strides)
        reducer = _reducer(r, CODES[_dtype(self.nest.body[r.arg])])
        self.steps.append((reducer, (source, Pointer(buffer, 0), *table)))

    def _partial(self, r: Reduce) -> Var:
        """Where partial results are kept: in the result, unless they are wider."""
        if not is_wide(r) or r.buffer.aval.dtype != r.dtype:
            return r.buffer
        self.temporaries.slots.append(Var(make_aval((r.buffer.aval.size,), np.dtype(np.float64))))
        return self.temporaries.slots[-1]

    def _after(self) -> list[Launch]:
        launches = []
        for r in self.nest.reductions:
            buffer = self.partial[r.buffer]
            if not r.finalize and buffer is r.buffer:
                continue
            code, to = CODES[buffer.aval.dtype], CODES[r.buffer.aval.dtype]
            name = f"block_finalize_{r.name if r.finalize else 'cast'}_{code}_{to}"
            text = (r.finalize or "{a}").format(a="x[k]", n="n")
            source = f"def {name}(lo, hi, x, y, n):\n    for k in range(lo, hi):\n"
            source += f"        y[k] = {to}({text})\n"
            # Without the promise that they do not overlap: they may be the same.
            kernel = compile_kernel(source, name, (f"{code}*", f"{to}*", code), helpers=HELPERS)
            args = (Pointer(buffer, 0), Pointer(r.buffer, 0), Number(r.n, code))
            launches.append(Launch(kernel, args, r.buffer.aval.size, 0))
        return launches


def _operands(value: Any) -> tuple[int, ...]:
    if isinstance(value, Compute):
        return value.args
    return (value.arg,) if isinstance(value, Select) else ()


def _dtype(value: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = value.dtype
    return dtype
