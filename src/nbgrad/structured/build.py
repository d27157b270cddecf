"""Writing blocks: scalars by Numba's rules of types, each computed once in a block and those around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nbgrad.core.registry import primitives
from nbgrad.machine.request import UNSAID
from nbgrad.structured.ir import Block, Compute, Const, Fault, If, Op, Refused, Val
from nbgrad.structured.rules import DTYPES, is_dear, operation

ORDER = ("b1", "i8", "f4", "f8")
# Operators by the name of the node of the syntax tree: text, and the primitive of floats.
ARITHMETIC = {
    "Add": ("{0} + {1}", "add"),
    "Sub": ("{0} - {1}", "subtract"),
    "Mult": ("{0} * {1}", "multiply"),
    "Div": ("{0} / {1}", "divide"),
    "FloorDiv": ("{0} // {1}", "floor_divide"),
    "Mod": ("{0} % {1}", "remainder"),
}
BITS = {"BitAnd": "{0} & {1}", "BitOr": "{0} | {1}", "BitXor": "{0} ^ {1}"}
SHIFTS = {"LShift": "{0} << {1}", "RShift": "{0} >> {1}"}
COMPARED = {"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "!="}


class Builder:
    """Appends statements to the block that is being written."""

    def __init__(self, divides: bool) -> None:
        self.block = self.top = Block()
        self.known: list[dict[Any, Val]] = [{}]
        # Common extents by those that are known to be 1 or that one, and the other way round.
        self._common: list[dict[Any, Any]] = [{}]
        self.constants: dict[Any, Const] = {}
        self.natural: set[Val] = set()  # integers that are not negative
        self.made: dict[Val, tuple[Compute, Block]] = {}
        self.given: set[Val] = set()  # words: there from the start
        self.divides = divides  # by zero, as NumPy does; else it raises

    @contextmanager
    def within(self, block: Block) -> Iterator[None]:
        """Write *block*; what was computed before it is known in it, and not the other way round."""
        outer, self.block = self.block, block
        self.known.append({})
        self._common.append({})
        try:
            yield
        finally:
            self.known.pop()
            self._common.pop()
            self.block = outer

    def add(self, stmt: Any) -> Any:
        self.block.stmts.append(stmt)
        return stmt

    def const(self, value: Any, code: str) -> Const:
        key = (repr(value), code)
        found = self.constants.get(key)
        if found is None:
            found = self.constants[key] = Const(value, code)
        return found

    def integer(self, value: int) -> Const:
        return self.const(value, "i8")

    def compute(self, op: Op, *args: Val) -> Val:
        key = (op, args)
        for scope in reversed(self.known):
            if key in scope:
                found: Val = scope[key]
                return found
        out = self.known[-1][key] = Val(op.code)
        self.made[out] = self.add(Compute(out, op, args)), self.block
        return out

    def extents_in(self, x: Val) -> frozenset[Val]:
        """The extents that *x* is the common one of, as was tested before; itself of others."""
        found: frozenset[Val] | None = self._tested(x)
        return frozenset((x,)) if found is None else found

    def extent_of(self, parts: frozenset[Val]) -> Val | None:
        """The common extent of these, if that was tested."""
        found: Val | None = self._tested(parts)
        return found

    def _tested(self, key: Any) -> Any:
        return next((s[key] for s in reversed(self._common) if key in s), None)

    def tested(self, total: Val, parts: frozenset[Val]) -> None:
        """Know from here on that each of *parts* is 1 or *total*, which is 1 if all are."""
        if parts != self.extents_in(total):
            self._common[-1][total] = parts
            self._common[-1].setdefault(parts, total)

    def lifted(self, x: Val) -> Val:
        """An integer as the top of the function has it, before the statement there that is being read."""
        made, block = self.made.get(x, (None, None))
        if x.__class__ is Const or x in self.given or block is self.top:
            return x
        if made is None:
            raise Refused("an array made in a loop, of a size that is not known before it")
        args = tuple([self.lifted(a) for a in made.args])
        found = self.known[0].get((made.op, args))
        if found is None:
            found = self.known[0][made.op, args] = Val(made.op.code)
            stmt = Compute(found, made.op, args)
            self.made[found] = stmt, self.top
            self.top.stmts.append(stmt)
        return found

    def plain(self, text: str, code: str, *args: Val) -> Val:
        """A statement that has no derivative."""
        return self.compute(Op(text, code), *args)

    def of(self, name: str, *args: Val, text: str = "", params: Any = None) -> Val:
        """The primitive *name* of floats, by the statement *text* if there is one."""
        prim = primitives[name] if name.__class__ is str else name
        op, codes = operation(prim, params or {}, [a.code for a in args])
        given = [self.cast(a, c) for a, c in zip(args, codes, strict=True)]
        if text:
            op = Op(text, op.code, op.prim, op.params, is_dear(text))
        return self.compute(op, *given)

    def cast(self, x: Val, code: str) -> Val:
        if x.code == code:
            return x
        if x.__class__ is Const and (code in ("f8", "f4", "b1") or x.code == "b1"):
            return self.const(DTYPES[code].type(x.value).item(), code)
        if x.floating and code in ("f8", "f4"):
            return self.of("cast", x, params={"dtype": DTYPES[code]})
        if code == "b1":
            return self.plain("{0} != 0", "b1", x)
        return self.plain(f"{code}({{0}})", code, x)

    def common(self, args: Sequence[Val]) -> str:
        """The type that Numba gives an operation of these."""
        codes = {a.code for a in args}
        if "f4" in codes and "i8" in codes:
            return "f8"
        return max(codes, key=ORDER.index)

    def truth(self, x: Val) -> Val:
        return self.cast(x, "b1")

    def negated(self, x: Val) -> Val:
        x = self.truth(x)
        if x.__class__ is Const:
            return self.const(not x.value, "b1")
        return self.plain("not {0}", "b1", x)

    # ------------------------------------------------------------------------------ arithmetic

    def arithmetic(self, name: str, x: Val, y: Val) -> Val:
        """A binary operator, by the name of its node in the syntax tree."""
        if name == "Pow":
            return self.power(x, y)
        if name in BITS or name in SHIFTS:
            return self.bitwise(name, x, y)
        if name not in ARITHMETIC:
            raise Refused(f"the operator {name}")
        code = self.common((x, y))
        text, prim = ARITHMETIC[name]
        if code == "b1":
            code = "i8"
        if name == "Div" and code == "i8":
            code = "f8"
        if "b1" in (x.code, y.code) and code == "f4":
            raise Refused("arithmetic of a boolean and a float32")
        x, y = self.cast(x, code), self.cast(y, code)
        if name in ("Div", "FloorDiv", "Mod"):
            self.not_zero(y)
        if code == "i8":
            return self.integers(name, text, x, y)
        return self.of(prim, x, y, text=text)

    def integers(self, name: str, text: str, x: Val, y: Val) -> Val:
        if x.__class__ is y.__class__ is Const and name in ("Add", "Sub", "Mult"):
            value = {"Add": x.value + y.value, "Sub": x.value - y.value, "Mult": x.value * y.value}
            return self.integer(value[name])
        if name in ("Add", "Sub") and y.__class__ is Const and y.value == 0:
            return x
        if name == "Add" and x.__class__ is Const and x.value == 0:
            return y
        if name == "Mult":
            for one, other in ((x, y), (y, x)):
                if one.__class__ is Const and one.value == 1:
                    return other
                if one.__class__ is Const and one.value == 0:
                    return one
        out = self.plain(text, "i8", x, y)
        if (
            name in ("Add", "Mult", "FloorDiv", "Mod")
            and self.is_natural(x)
            and self.is_natural(y)
        ):
            self.natural.add(out)
        return out

    def is_natural(self, x: Val) -> bool:
        return x in self.natural or (x.__class__ is Const and x.value >= 0)

    def not_zero(self, y: Val) -> None:
        """End as Python does where it divides by zero, unless the function divides as NumPy does."""
        if self.divides or (y.__class__ is Const and y.value != 0):
            return
        self.fault(self.plain("{0} == 0", "b1", y))

    def fault(self, cond: Val) -> None:
        """End as a function does that raises, if the condition holds."""
        self.add(Fault(cond, UNSAID))

    def bitwise(self, name: str, x: Val, y: Val) -> Val:
        if x.floating or y.floating:
            raise Refused("bits of a float")
        if x.code == y.code == "b1" and name in BITS:
            return self.plain(BITS[name], "b1", x, y)
        text = BITS.get(name) or SHIFTS[name]
        return self.plain(text, "i8", self.cast(x, "i8"), self.cast(y, "i8"))

    def power(self, x: Val, y: Val) -> Val:
        if y.__class__ is Const and y.code == "i8" and abs(y.value) <= 64:
            n = y.value
            if x.code in ("i8", "b1"):
                if n < 0:
                    raise Refused("a negative power of an integer")
                return self.plain(_powers(n), "i8", self.cast(x, "i8"))
            text = _powers(abs(n))
            text = text if n >= 0 else f"{x.code}(1) / ({text})"
            if n == 0:
                return self.const(1.0, x.code)
            return self.of("integer_power", x, params={"n": n}, text=text)
        if not x.floating and not y.floating:
            raise Refused("a power of integers whose exponent is no literal")
        if not y.floating:  # Numba multiplies
            op = Op("{0} ** {1}", x.code, primitives["power"], (), dear=True)
            return self.compute(op, x, self.cast(y, "i8"))
        code = "f8" if "f8" in (x.code, y.code) or x.code == "i8" else "f4"
        return self.of("power", self.cast(x, code), self.cast(y, code), text="{0} ** {1}")

    def minus(self, x: Val) -> Val:
        if x.__class__ is Const and x.code != "b1":
            return self.const(-x.value, x.code)
        if x.floating:
            return self.of("negative", x, text="-{0}")
        return self.plain("-{0}", "i8", self.cast(x, "i8"))

    def compared(self, name: str, x: Val, y: Val) -> Val:
        if name not in COMPARED:
            raise Refused(f"the comparison {name}")
        code = self.common((x, y))
        x, y = self.cast(x, code), self.cast(y, code)
        return self.plain(f"{{0}} {COMPARED[name]} {{1}}", "b1", x, y)

    def both(self, x: Val, y: Val) -> Val:
        """``x and y`` of booleans that are there."""
        for one, other in ((x, y), (y, x)):
            if one.__class__ is Const:
                return other if one.value else one
        return self.plain("{0} & {1}", "b1", x, y)

    def extremum(self, name: str, args: Sequence[Val]) -> Val:
        """``max`` or ``min`` of Python."""
        code = self.common(args)
        found, *rest = (self.cast(a, code) for a in args)
        for x in rest:
            text = f"{name}({{0}}, {{1}})"
            if code in ("f8", "f4"):
                prim = "maximum" if name == "max" else "minimum"
                found = self.of(prim, found, x, text=text)
            else:
                found = self.plain(text, code, found, x)
        return found

    def choice(
        self, cond: Val, then: Block, other: Block, pairs: Sequence[tuple[Val, Val]]
    ) -> list[Val]:
        """Join two blocks: the values that are there after either."""
        outs = []
        thens, others = [], []
        for x, y in pairs:
            if x is y:
                outs.append(x)
                continue
            code = self.common((x, y))
            if x.code != y.code and "b1" in (x.code, y.code):
                raise Refused("a variable that is a boolean or a number")
            with self.within(then):
                thens.append(self.cast(x, code))
            with self.within(other):
                others.append(self.cast(y, code))
            outs.append(Val(code))
        mine = [o for o, (x, y) in zip(outs, pairs, strict=True) if x is not y]
        self.add(If(cond, then, other, mine, thens, others))
        return outs


def _powers(n: int) -> str:
    """A power by squaring, in the order in which Numba multiplies."""
    found, value = "", "{0}"
    while n:
        if n & 1:
            found = f"{found} * {value}" if found else value
        n >>= 1
        value = f"({value} * {value})"
    return found or "1"
