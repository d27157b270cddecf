"""Running sums and products, and linear recurrences, on CUDA: long ones in pieces, in a fixed order.

A thread goes through one piece of a row. Of long rows that are few, each piece is first gone through for what it makes of
whatever comes before it; one thread a row puts these together; then each piece is gone through again from there. Where that
would be another result than to go step by step, as when a product of factors overflows that meets a zero, the thread that puts
together goes step by step.
"""

from __future__ import annotations

from typing import Final

from nbgrad.core.aval import make_aval
from nbgrad.core.tape import Var
from nbgrad.program.cuda_library import StageEmitter
from nbgrad.program.values import ALL_CODES, HALF
from nbgrad.program.views import LibraryCall, Stage

# The next element of each, from that before it and those of the operands.
STEPS: Final = {"cumsum": "{h} + {b}", "cumprod": "{h} * {b}", "recurrence": "{a} * {h} + {b}"}
# Rows that keep a card busy, steps of a row that are cut, steps and number of pieces.
ROWS, LONG, PIECE, PIECES = 1 << 13, 512, 64, 1024
# Below this a product of factors may have lost digits that a large number before it would need.
TINY = {"f8": 2.3e-308, "f4": 1.2e-38, "z16": 2.3e-308, "z8": 1.2e-38}


class Scan:
    """Writes the kernels of a call."""

    def __init__(self, call: LibraryCall) -> None:
        self.call, self.y = call, call.eqn.out
        self.b, self.a = call.operands[-1], call.operands[0]
        self.outer, self.n, self.inner = self.b.extents
        self.rows = self.outer * self.inner
        dtype = self.y.aval.dtype
        self.code, self.half = ALL_CODES[dtype], dtype == HALF
        self.piece = self.n
        if self.rows < ROWS and self.n >= LONG and not self.half:
            self.piece = max(PIECE, -(-self.n // min(PIECES, max(1, 2 * ROWS // self.rows))))
        self.pieces = -(-self.n // self.piece)
        self.parts, self.factors = (
            Var(make_aval((self.pieces * self.rows,), dtype)) for _ in range(2)
        )

    def stages(self) -> list[Stage]:
        """All kernels, in order."""
        if self.pieces == 1:
            return [self.steps()]
        return [self.part(), self.carry(), self.steps()]

    @property
    def linear(self) -> bool:
        return self.call.kernel == "recurrence"

    @property
    def kept(self) -> tuple[Var, ...]:
        """What the first kernel makes of each piece."""
        return (self.parts, self.factors) if self.linear else (self.parts,)

    @property
    def given(self) -> tuple[Var, ...]:
        return tuple(dict.fromkeys(x.buffer for x in self.call.operands))

    # ------------------------------------------------------------------------------- of a kernel

    def emitter(self, what: str, pieces: int) -> StageEmitter:
        """The params, and the loop over rows, of which it is row ``r``: ``outer`` and ``c``."""
        e = StageEmitter(self.call, pieces * self.rows, what)
        reverse = bool(self.call.eqn.params.get("reverse"))
        numbers = {"n": self.n, "inner": self.inner, "rows": self.rows, "piece": self.piece}
        numbers |= {"begin": (self.n - 1) * reverse, "way": -1 if reverse else 1}
        for name, value in {**numbers, "total": pieces * self.rows}.items():
            e.integer(name, value)
        e.operand("b", self.b)
        if self.linear:
            e.operand("a", self.a)
        e.line(1, "for t in range(cuda.grid(1), total, cuda.gridsize(1)):")
        e.line(2, f"q = {e.quotient('t', 'rows')}")
        e.line(2, "r = t - q * rows")
        e.line(2, f"outer = {e.quotient('r', 'inner')}")
        e.line(2, "c = r - outer * inner")
        return e

    def term(self, e: StageEmitter) -> str:
        return e.value("b", self.b.buffer, "outer * b_0 + k * b_1 + c * b_2")

    def factor(self, e: StageEmitter) -> str:
        return e.value("a", self.a.buffer, "outer * a_0 + k * a_1 + c * a_2")

    def step(self, e: StageEmitter, before: str = "h") -> str:
        h = f"f4({before})" if self.half else before
        text = STEPS[self.call.kernel].format(
            h=h, b=self.term(e), a=self.factor(e) if self.linear else ""
        )
        return f"{self.code}({text})"

    def steps(self) -> Stage:
        """Each piece, from what was before it."""
        e = self.emitter("steps", self.pieces)
        e.pointer("y", self.y, 0)
        before = f"{self.code}(0)"
        if self.pieces > 1:
            e.pointer("parts", self.parts, 0)
            before = e.element("parts", self.parts, "t")
        e.block(2, f"""
h = {before}
for i in range(q * piece, min((q + 1) * piece, n)):
    k = begin + i * way
    if i > 0:
        h = {self.step(e)}
    else:
        h = {self.code}({self.term(e)})
    {e.element("y", self.y, "(outer * n + k) * inner + c")} = h
""")  # fmt: skip
        reads = (*self.given, self.parts) if self.pieces > 1 else self.given
        return Stage(self.call, e.done(), reads, (self.y,))

    def part(self) -> Stage:
        """What a piece makes by itself, and of recurrences the factor of what is before it."""
        e = self.emitter("parts", self.pieces)
        for name, var in zip(("parts", "factors"), self.kept, strict=False):
            e.pointer(name, var, 0)
        e.line(2, "k = begin + q * piece * way")
        e.line(2, f"h = {self.code}({self.term(e)})")
        if self.linear:
            e.line(2, f"p = {self.code}({self.factor(e)})")
        e.line(2, "for i in range(q * piece + 1, min((q + 1) * piece, n)):")
        e.line(3, "k = begin + i * way")
        e.line(3, f"h = {self.step(e)}")
        if self.linear:
            e.line(3, f"p = p * {self.factor(e)}")
            e.line(2, f"{e.element('factors', self.factors, 't')} = p")
        e.line(2, f"{e.element('parts', self.parts, 't')} = h")
        return Stage(self.call, e.done(), self.given, self.kept)

    def carry(self) -> Stage:
        """What is before each piece, in the place of what it makes."""
        e = self.emitter("carry", 1)
        e.integer("pieces", self.pieces)
        for name, var in zip(("parts", "factors"), self.kept, strict=False):
            e.pointer(name, var, 0)
        part = e.element("parts", self.parts, "q * rows + r")
        factor = e.element("factors", self.factors, "q * rows + r") if self.linear else "part"
        new = {"cumsum": "h + part", "cumprod": "h * part", "recurrence": "p * h + part"}
        e.line(2, f"h = {e.element('parts', self.parts, 'r')}")
        e.line(2, "for q in range(1, pieces):")
        e.line(3, f"part = {part}")
        e.line(3, f"p = {factor}")
        e.line(3, f"{part} = h")
        e.line(3, f"new = {self.code}({new[self.call.kernel]})")
        tests = ["part - part != part - part", "p - p != p - p"][: 2 if self.linear else 1]
        if self.y.aval.dtype.kind in "fc":
            if self.call.kernel != "cumsum":
                tests.append(f"(abs(p) < {TINY[self.code]} and abs(h) > 1)")
            e.line(3, f"if {' or '.join(tests)}:")
            e.line(4, "new = h")
            e.line(4, "for i in range(q * piece, min((q + 1) * piece, n)):")
            e.line(5, "k = begin + i * way")
            e.line(5, f"new = {self.step(e, 'new')}")
        e.line(3, "h = new")
        return Stage(self.call, e.done(), (*self.given, *self.kept), (self.parts,))


def staged(call: LibraryCall) -> list[Stage] | None:
    """The kernels of a running sum or product, or of a recurrence; None of others."""
    if call.kernel not in STEPS or not call.eqn.out.aval.size:
        return None
    return Scan(call).stages()
