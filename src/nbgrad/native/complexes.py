"""Arithmetic of complex numbers that are active: pairs of real ones.

Sums, products and parts are those of the pairs. A function that is holomorphic has a complex derivative,
traced from the rule of its primitive: the partials of its real and imaginary part are the parts of that, by
Cauchy and Riemann. A gradient is that by the real part plus i times that by the imaginary part, as
everywhere; so rules give the conjugate of the derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from numba import types

from nbgrad.native.active import (
    Active,
    ActiveComplex,
    Dual,
    base_of,
    complex_of,
    halves,
    joined,
    made,
)
from nbgrad.native.statements import Statement

Typed = tuple[Any, Any]  # the type of a number, and its LLVM value
Part = Typed | None  # None is an imaginary part that is 0


def is_complex(x: Typed) -> bool:
    return isinstance(x[0], ActiveComplex | types.Complex)


class ComplexNumbers:
    """The part of ``Arithmetic`` that is of complex numbers."""

    context: Any
    builder: Any
    basic: Any
    named: Any
    number: Any
    cast: Any
    apply: Any
    partials: Any
    strong: Any
    _split: Any

    def complexly(self, scalar: Any, args: Sequence[Typed]) -> Typed:
        """The value of a function of numbers one of which is complex and active."""
        formula = FORMULAS.get(scalar.primitive)
        return formula(self, *args) if formula else self._holomorphic(scalar, args)

    # ---------------------------------------------------------------------------------- pairs

    def split(self, x: Typed) -> tuple[Typed, Part]:
        """The parts of a number; no imaginary part of a real one."""
        ty, value = x
        if not is_complex(x):
            return x if isinstance(ty, Active | types.Float) else self.cast(x, types.float64), None
        part = ty.part if isinstance(ty, ActiveComplex) else ty.underlying_float
        real, imag = halves(self.context, self.builder, ty, value)
        return (part, real), (part, imag)

    def join(self, real: Typed, imag: Part) -> Typed:
        """The complex number of two parts."""
        imag = (
            self.number(0.0, base_of(self.context, self.builder, *real)[0])
            if imag is None
            else imag
        )
        part = self.context.typing_context.unify_pairs(real[0], imag[0])
        both = self.cast(real, part)[1], self.cast(imag, part)[1]
        return complex_of(part), joined(self.context, self.builder, part, *both)

    def linear(self, name: str, x: Part, y: Part) -> Part:
        """A sum or difference of parts, of which some may be 0."""
        if y is None:
            return x
        if x is None:
            return self.basic("negative", y) if name == "subtract" else y
        return self.basic(name, x, y)  # type: ignore[no-any-return]

    def product(self, x: Part, y: Part) -> Part:
        return None if x is None or y is None else self.basic("multiply", x, y)

    # ---------------------------------------------------------------------------------- functions

    def _holomorphic(self, scalar: Any, args: Sequence[Typed]) -> Typed:
        given = [
            self.cast(x, x[0].with_base(complex_of(x[0].base))) if isinstance(x[0], Active) else x
            for x in args
        ]
        level = next(ty.part for ty, _ in given if isinstance(ty, ActiveComplex))
        inner, others = [], []
        for x in given:
            value, other = self._lowered(x, level)
            inner.append(value)
            others.append(other)
        out = self.apply(scalar, inner)
        slopes = self.partials(scalar, inner, out, tuple([o is not None for o in others]))
        whole = scalar.primitive == "power" and isinstance(args[1][0], types.Integer)
        terms = [
            (self._slope(p, out, not whole), o)
            for p, o in zip(slopes, others, strict=True)
            if p is not None and o is not None
        ]
        return (
            self._dual_pair(level, out, terms)
            if isinstance(level, Dual)
            else self._taped_pair(level, out, terms)
        )

    def _lowered(self, x: Typed, level: Any) -> tuple[Typed, Any]:
        """A number of the components, with its tangents or places: None of a constant."""
        if not isinstance(x[0], ActiveComplex):
            return x, None
        part = x[0].part
        both = [
            self._split((part, half), level) for half in halves(self.context, self.builder, *x)
        ]
        values = [value for (_, value), _ in both]
        lower = joined(self.context, self.builder, part.component, *values)
        return (complex_of(part.component), lower), [other for _, other in both]

    def _slope(self, partial: Any, out: Typed, conjugated: bool) -> Typed:
        """A partial as a complex number of the type of the result."""
        if isinstance(partial, float):
            partial = self.number(
                partial, base_of(self.context, self.builder, *self.split(out)[0])[0]
            )
        partial = _conjugate(self, partial) if conjugated and is_complex(partial) else partial
        return self.cast(partial, out[0])  # type: ignore[no-any-return]

    def _dual_pair(self, level: Any, out: Typed, terms: Sequence[tuple[Typed, Any]]) -> Typed:
        total = None
        for slope, tangents in terms:
            term = self.strong(self.join(*tangents), slope, (0,))
            total = term if total is None else self.basic("add", total, term)
        if total is None:
            return self.cast(out, complex_of(type(level)(self.split(out)[0][0])))  # type: ignore[no-any-return]
        total = self.cast(total, out[0])
        both = zip(self.split(out), self.split(total), strict=True)
        part, pairs = type(level)(self.split(out)[0][0]), []
        for value, tangent in both:
            pairs.append(made(self.context, self.builder, part, value[1], tangent[1]))  # type: ignore[index]
        return complex_of(part), joined(self.context, self.builder, part, *pairs)

    def _taped_pair(self, level: Any, out: Typed, terms: Sequence[tuple[Typed, Any]]) -> Typed:
        values = self.split(out)
        part = type(level)(values[0][0])
        entries: list[list[Any]] = [[], []]
        for slope, (x, y) in terms:
            p, q = self.split(slope)
            entries[0] += [(p, x), (self.basic("negative", q), y)]
            entries[1] += [(q, x), (p, y)]
        pairs = [
            Statement(self, part).of(value, given)
            for value, given in zip(values, entries, strict=True)
        ]
        return complex_of(part), joined(self.context, self.builder, part, *pairs)


# ------------------------------------------------------------------------------------ formulas


def _sum(name: str) -> Callable[..., Typed]:
    def formula(a: Any, x: Typed, y: Typed) -> Typed:
        (xr, xi), (yr, yi) = a.split(x), a.split(y)
        return a.join(a.basic(name, xr, yr), a.linear(name, xi, yi))  # type: ignore[no-any-return]

    return formula


def _multiply(a: Any, x: Typed, y: Typed) -> Typed:
    (xr, xi), (yr, yi) = a.split(x), a.split(y)
    real = a.linear("subtract", a.product(xr, yr), a.product(xi, yi))
    return a.join(real, a.linear("add", a.product(xr, yi), a.product(xi, yr)))  # type: ignore[no-any-return]


def _negative(a: Any, x: Typed) -> Typed:
    real, imag = a.split(x)
    return a.join(a.basic("negative", real), a.linear("subtract", None, imag))  # type: ignore[no-any-return]


def _conjugate(a: Any, x: Typed) -> Typed:
    real, imag = a.split(x)
    return a.join(real, a.linear("subtract", None, imag))  # type: ignore[no-any-return]


def _absolute(a: Any, x: Typed) -> Typed:
    return a.named("hypot", *a.split(x))  # type: ignore[no-any-return]


def _angle(a: Any, x: Typed) -> Typed:
    real, imag = a.split(x)
    return a.named("arctan2", imag, real)  # type: ignore[no-any-return]


def _tanh_slope(a: Any, x: Typed) -> Typed:
    return a.named("reciprocal", a.named("square", a.named("cosh", x)))  # type: ignore[no-any-return]


def _arctan_slope(a: Any, x: Typed) -> Typed:
    return a.named("reciprocal", _sum("add")(a, a.number(1.0, types.float64), _multiply(a, x, x)))  # type: ignore[no-any-return]


def _complement(a: Any, x: Typed) -> Typed:
    one = a.number(1.0, types.float64)
    return _multiply(a, _sum("subtract")(a, one, x), _sum("add")(a, one, x))


# What is not holomorphic, or quicker by its parts; and slopes that have texts for real numbers alone.
FORMULAS: Final[dict[str, Callable[..., Typed]]] = {
    "add": _sum("add"), "subtract": _sum("subtract"), "multiply": _multiply, "negative": _negative,
    "positive": lambda a, x: x, "conjugate": _conjugate, "absolute": _absolute, "angle": _angle,
    "square": lambda a, x: _multiply(a, x, x),
    "tanh_slope": _tanh_slope, "arctan_slope": _arctan_slope, "complement": _complement,
}  # fmt: skip
