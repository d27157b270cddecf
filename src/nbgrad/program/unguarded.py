"""Products that do not ask whether their first factor is zero, and are computed again where that was wrong.

A cotangent of zero stays zero whatever it is multiplied with, and asking costs two instructions a product. Without
the question a product is another one only where it is NaN (or zero of the other sign), and what is made
of it by sums and products alone is NaN as well. So long loops of many such products first compute some points
without it, and then, if a result is not a number, the same points with it.
"""

from __future__ import annotations

from typing import Final

from nbgrad.core.frozen import replace
from nbgrad.core.lazy import pattern
from nbgrad.program.arrange import Arranged
from nbgrad.program.emit import Emitter
from nbgrad.program.nest import Compute, Load, Nest
from nbgrad.program.pieces import Pieces
from nbgrad.program.text import all_guards
from nbgrad.program.values import ALL_CODES

# The loop is compiled twice, which pays where it is long and many products ask.
POINTS: Final = 1 << 16
PRODUCTS: Final = 6

_ASKING: Final = pattern(
    r"\((\{x\} [*/] (?:\{y\}|\(\{t\}\(0\.5\) / \{y\}\)))"
    r" if \{x\} != \{t\}\(0\)(?: and \{y\} != \{t\}\(0\))? else \{t\}\(0\)\)"
)
# How many operands of a text make it NaN by being so, and of zeros of either sign zeros: the first ones.
_PASSING: Final = {"{x} + {y}": 2, "{x} - {y}": 2, "{x} * {y}": 2, "-{x}": 1, "{x} / {y}": 1}
_SLOPE: Final = "{x} * ({t}(0.5) / {y})"


def without(text: str) -> str:
    """The text of a product without its question; of anything else, as it is.

    Examples
    --------
    >>> without("({x} * {y} if {x} != {t}(0) else {t}(0))")
    '{x} * {y}'
    """
    found = _ASKING.fullmatch(text)
    return found[1] if found else text


def _passing(value: Compute) -> int:
    """How many of its first operands *value* passes NaN on from, once it does not ask."""
    if value.dtype != value.loop_dtype or value.dtype.kind != "f":
        return 0
    return {**_PASSING, _SLOPE: 1}.get(without(value.text), 0)


def unasked(nest: Nest) -> tuple[frozenset[Compute], list[int]]:
    """The products that need not ask, and the results that tell: all that is made of the products ends there."""
    kept = {r.arg for r in nest.reductions if r.combine != "{a} + {b}"}
    free: list[int] = []
    for number in reversed(range(len(nest.body))):
        value = nest.body[number]
        if not isinstance(value, Compute):
            continue  # a choice by place is in no nest that `pays`
        passed = 0 if number in kept else _passing(value)
        kept.update(value.args[passed:])
        if passed and not value.uniform and without(value.text) != value.text:
            free.append(number)
    after = set(free)
    for number, value in enumerate(nest.body):
        if isinstance(value, Compute) and not after.isdisjoint(value.args):
            after.add(number)
    ends = [*(s.arg for s in nest.stores), *(r.arg for r in nest.reductions)]
    asking = {nest.body[k] for k in kept}  # an equal one is the same text
    found = frozenset(
        v for k in free if isinstance(v := nest.body[k], Compute) and v not in asking
    )
    return found, [k for k in dict.fromkeys(ends) if k in after]


class Unguarded(Pieces):
    """Writes a loop twice: without questions, and with them for points where a result is NaN."""

    def __init__(self, arranged: Arranged) -> None:
        self.asking = True
        self.unasked, self.ends = unasked(arranged.nest)
        super().__init__(arranged)
        self.tiled = True  # so that few points are computed again

    def plain(self, value: Compute) -> str:
        return without(value.text) if value in self.unasked else value.text

    def pays(self) -> bool:
        """Whether the loop is one to write so, and may be run again: what it reads it does not write."""
        nest, dtypes = self.nest, {self.nest.body[k].dtype for k in self.ends}
        read = {v.buffer for v in nest.body if isinstance(v, Load)}
        return (
            len(self.unasked) >= max(PRODUCTS, 2 * len(self.ends))
            and len(dtypes) == 1
            and not self.a.columns
            and all(self.in_lanes(r) for r in nest.reductions)
            and all(s.onto is None and s.buffer not in read for s in nest.stores)
            and not any(all_guards(v) for v in nest.body)
        )

    def text(self, value: Compute) -> str:
        return super().text(value if self.asking else replace(value, text=self.plain(value)))

    def body(self, depth: int, guarded: bool) -> None:
        super().body(depth, guarded)
        ends = [k for k in self.ends if self.piece is None or k in self.piece.ends]
        if ends and not self.asking:
            code = ALL_CODES[self.nest.body[ends[0]].dtype]
            found = " + ".join(self.operands[k] for k in ends)
            # Infinities that cancel look alike: then the points are computed again for nothing.
            self.line(depth, f"odd = reduce_add(odd, ({found}) * {code}(0))")

    def innermost(self, depth: int, start: str, stop: str, guarded: bool) -> None:
        code = ALL_CODES[self.nest.body[self.ends[0]].dtype]
        self.line(depth, f"odd = {code}(0)")
        self.asking = False
        super().innermost(depth, start, stop, guarded)
        self.asking = True
        self.line(depth, "if odd != odd:")
        for number, r in enumerate(self.nest.reductions):
            self.line(depth + 1, f"part{number} = {ALL_CODES[r.dtype]}(0)")
        self.whole(depth + 1, start, stop, guarded)  # in one loop: it is rare


def emitter(arranged: Arranged) -> Emitter:
    """What writes the text of a nest of any shape."""
    if arranged.nest.size >= POINTS:
        for kind in (Unguarded, Pieces):
            if (found := kind(arranged)).pays():
                return found
    return Emitter(arranged)
