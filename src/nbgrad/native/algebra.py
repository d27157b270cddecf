"""Arithmetic of active numbers, as LLVM instructions.

``apply`` computes a function of numbers of any type. On floats it is what Numba makes of it, so values are
those of the plain function. A dual number takes the partials of the operation along, a taped one records
them. Partials come from the registry, and are computed by ``apply`` again, of the components: so there is
nothing here for a higher order.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types

from nbgrad.core.frozen import Frozen
from nbgrad.core.primitive import named
from nbgrad.core.tape import Literal
from nbgrad.native import texts
from nbgrad.native.active import (
    Active,
    ActiveComplex,
    Carrier,
    Dual,
    base_of,
    constant_of,
    halves,
    made,
    parts,
)
from nbgrad.native.complexes import FORMULAS, ComplexNumbers, is_complex
from nbgrad.native.functions import UFUNCS
from nbgrad.native.rules import slopes
from nbgrad.native.statements import Statement, Term
from nbgrad.ops.kinds.algebra import zeros_of
from nbgrad.ops.kinds.forms import index_map

Typed = tuple[Any, Any]  # the type of a number, and its LLVM value


class Scalar(Frozen):
    """A function of numbers: what Numba knows it by, and the primitive that has its partials.

    ``primitive`` is empty where the result carries no derivative.
    """

    function: Any
    primitive: str
    params: tuple[tuple[str, Any], ...] = ()


# Primitives whose partials make use of one another, and what Numba makes of them. What stands neither here
# nor among NumPy's functions is compiled from its declared text.
BASIC: Final[dict[str, Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": np.true_divide,
    "negative": operator.neg, "absolute": abs, "less": operator.lt, "less_equal": operator.le,
    "greater": operator.gt, "greater_equal": operator.ge, "equal": operator.eq,
    "not_equal": operator.ne, "logical_and": operator.and_, "logical_or": operator.or_,
    "logical_not": operator.not_,
}  # fmt: skip
# Comparisons that complex numbers have in rules alone: those of their real parts.
_ORDERS: Final = {"less", "less_equal", "greater", "greater_equal"}
# libm's takes twice as long, and shares nothing with that of the derivative.
OURS: Final = {name: texts.Text(name, name + "_alone_f8({x})", 1) for name in ("sin", "cos")}
_FLAGS: Final = {
    types.float32: "f4", types.float64: "f8", types.complex64: "c8", types.complex128: "c16",
}  # fmt: skip


class Arithmetic(ComplexNumbers):
    """Numbers in one function of LLVM's that is being built."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder

    def apply(self, scalar: Scalar, args: Sequence[Typed]) -> Typed:
        """The value of a function, with all that its type has of derivatives."""
        level = _level(args)
        if level is None:
            return self.plain(scalar, args)
        if not scalar.primitive:
            return self.plain(scalar, [base_of(self.context, self.builder, *arg) for arg in args])
        if any(map(is_complex, args)):
            return self.complexly(scalar, args)
        split = [self._split(arg, level) for arg in args]
        inner = [value for value, _ in split]
        out = self.apply(scalar, inner)
        wants = tuple([other is not None for _, other in split])
        partials = self.partials(scalar, inner, out, wants)
        others = [(p, o) for p, (_, o) in zip(partials, split, strict=True) if p is not None and o]
        ty = type(level)(out[0])
        if isinstance(level, Dual):
            # The partials of sums and products are finite where their operands are.
            careful = named(scalar.primitive).algebra is None
            return ty, self._dual(ty, out, others, careful)
        return ty, Statement(self, ty).of(out, others)

    def plain(self, scalar: Scalar, args: Sequence[Typed]) -> Typed:
        """A function of floats, as Numba compiles it, or as kernels do."""
        ours = OURS.get(scalar.primitive)
        if ours is not None and args[0][0] == types.float64:
            return self._called(ours.dispatcher(types.float64), args)
        if isinstance(scalar.function, texts.Text):
            return self._called(scalar.function.dispatcher(args[0][0]), args)
        return self._called(scalar.function, args)

    def _called(self, function: Any, args: Sequence[Typed]) -> Typed:
        typing = self.context.typing_context
        known = typing.resolve_value_type(function)
        kinds = tuple([types.unliteral(ty) for ty, _ in args])
        sig = known.get_call_type(typing, kinds, {})
        given = [
            self.context.cast(self.builder, x, ty, target)
            for (ty, x), target in zip(args, sig.args, strict=True)
        ]
        implementation = self.context.get_function(known, sig)
        return sig.return_type, implementation(self.builder, given)

    def _split(self, arg: Typed, level: Any) -> tuple[Typed, Any]:
        """The component of a number, with its tangent or what it depends on: None of a constant."""
        if isinstance(arg[0], type(level)):
            value, other = parts(self.context, self.builder, *arg)
            kept = (
                (arg[0].component, other) if isinstance(level, Dual) else Term(1.0, other, arg[1])
            )
            return (arg[0].component, value), kept
        return arg, None

    def _dual(
        self, ty: Any, out: Typed, others: Sequence[tuple[Any, Typed]], careful: bool
    ) -> Any:
        total: Typed | None = None
        for partial, tangent in others:
            term = self._times(partial, tangent, careful)
            if term is not None:
                total = term if total is None else self.basic("add", total, term)
        if total is None:
            other = self.context.get_constant_null(ty.component)
        else:
            other = self.context.cast(self.builder, total[1], total[0], ty.component)
        return made(self.context, self.builder, ty, out[1], other)

    def _times(self, partial: Any, tangent: Typed, careful: bool) -> Typed | None:
        """The product, exactly 0 where the tangent is."""
        if isinstance(partial, float):
            if partial == 0:
                return None
            if partial == 1:
                return tangent
            if partial == -1:
                return self.basic("negative", tangent)
            return self.basic("multiply", self.number(partial, tangent[0]), tangent)
        if careful:
            return self.strong(tangent, partial, (0,))
        return self.basic("multiply", tangent, partial)

    # ------------------------------------------------------------------------------- partials

    def partials(
        self, scalar: Scalar, args: Sequence[Typed], out: Typed, wants: tuple[bool, ...]
    ) -> list[Any]:
        """For each operand a number, a typed value, or None."""
        if scalar.primitive == "power" and isinstance(args[1][0], types.Integer):
            return [_slope_of_whole_power(self, *args), None]
        base = base_of(self.context, self.builder, *out)[0]
        rule = slopes(scalar.primitive, scalar.params, wants, _FLAGS[base])
        given = [self._as_float(arg, base) for arg in args]
        values = self.walk(rule.tape, [*given, out])
        return [values[p[1]] if isinstance(p, tuple) else p for p in rule.given]

    def _as_float(self, arg: Typed, base: Any) -> Typed:
        """Integers among the operands as floats, which rules are of."""
        known = Carrier | types.Float | types.Complex
        return arg if isinstance(arg[0], known) else self.cast(arg, base)

    def walk(self, tape: Any, inputs: Sequence[Typed]) -> list[Typed]:
        """The outputs of a tape of scalars."""
        held = dict(zip(tape.inputs, inputs, strict=True))
        base = base_of(self.context, self.builder, *inputs[-1])[0]

        def read(atom: Any) -> Typed:
            if isinstance(atom, Literal):
                return self.literal(atom.value, base)
            found: Typed = held[atom]
            return found

        for eqn in tape.eqns:
            args = [read(atom) for atom in eqn.inputs]
            held[eqn.out] = self._equation(eqn.prim, eqn.params, args)
        return [read(atom) for atom in tape.outputs]

    def _equation(self, prim: Any, params: dict[str, Any], args: Sequence[Typed]) -> Typed:
        name = prim.name
        if name in _CHOICES:
            return _CHOICES[name](self, *args)
        if zeros := zeros_of(prim):  # its partials are those of the plain product
            return self.strong(args[0], args[1], zeros)
        if prim.alias or index_map(prim) == "full":
            return args[0]
        if any(map(is_complex, args)):
            if name in FORMULAS:
                return FORMULAS[name](self, *args)
            args = [self.split(arg)[0] for arg in args] if name in _ORDERS else args
        return self.apply(scalar_of(prim, params), args)

    # ------------------------------------------------------------------------------- the basic ones

    def basic(self, name: str, *args: Typed) -> Typed:
        """A sum, difference, product, quotient or comparison."""
        return self.apply(_BASIC[name], args)

    def plus_product(self, total: Typed, a: Typed, b: Typed) -> Typed:
        """A sum with a product, which floats may have rounded once."""
        ty = total[0]
        if isinstance(ty, Active):
            return self.basic("add", total, self.basic("multiply", a, b))
        kind = total[1].type
        of = ir.FunctionType(kind, [kind] * 3)
        fused = self.builder.module.declare_intrinsic("llvm.fmuladd", [kind], of)
        return ty, self.builder.call(fused, [a[1], b[1], total[1]])

    def named(self, name: str, *args: Typed) -> Typed:
        """A function, by the name of its primitive."""
        return self.apply(scalar_of(named(name), {}), args)

    def literal(self, value: Any, base: Any) -> Typed:
        """A constant of a tape of numbers of the type *base*."""
        base = getattr(base, "underlying_float", base)
        real = self.number(float(value.real), base)
        return self.join(real, self.number(float(value.imag), base)) if value.imag else real

    def number(self, value: float, ty: Any) -> Typed:
        """A constant of the type *ty*."""
        base = getattr(ty, "base", ty)
        constant = self.context.get_constant(base, value)
        return ty, constant_of(self.context, self.builder, ty, constant)

    def cast(self, x: Typed, ty: Any) -> Typed:
        return ty, self.context.cast(self.builder, x[1], x[0], ty)

    def chosen(self, condition: Typed, a: Typed, b: Typed) -> Typed:
        """*a* where the condition holds, else *b*."""
        ty = self.context.typing_context.unify_pairs(a[0], b[0])
        flag = self.cast(base_of(self.context, self.builder, *condition), types.boolean)[1]
        return ty, self.builder.select(flag, self.cast(a, ty)[1], self.cast(b, ty)[1])

    def strong(self, a: Typed, b: Typed, zeros: tuple[int, ...]) -> Typed:
        """The product, exactly 0 where one of the operands in *zeros* is, with all of its components."""
        product = self.basic("multiply", a, b)
        for k in zeros:
            zero = self._is_zero((a, b)[k])
            null = self.context.get_constant_null(product[0])
            product = product[0], self.builder.select(zero, null, product[1])
        return product

    def _is_zero(self, x: Typed) -> Any:
        ty, value = x
        if is_complex(x):
            kind = ty.part if isinstance(ty, ActiveComplex) else ty.underlying_float
            pair = halves(self.context, self.builder, ty, value)
            return self.builder.and_(*[self._is_zero((kind, each)) for each in pair])
        if not isinstance(ty, Active):
            ty, value = self.cast(x, types.float64)
            return self.builder.fcmp_ordered("==", value, ir.Constant(value.type, 0.0))
        first, second = parts(self.context, self.builder, ty, value)
        if not isinstance(ty, Dual):
            return self._is_zero((ty.component, first))
        both = [self._is_zero((ty.component, each)) for each in (first, second)]
        return self.builder.and_(*both)


_BASIC: Final = {
    name: Scalar(f, name if k < 6 else "") for k, (name, f) in enumerate(BASIC.items())
}
# What is no function of Numba's.
_CHOICES: Final = {"where": Arithmetic.chosen}


def _level(args: Sequence[Typed]) -> Any:
    """The outermost type of the numbers that are active."""
    return next((ty for ty, _ in args if isinstance(ty, Carrier)), None)


def scalar_of(prim: Any, params: dict[str, Any]) -> Scalar:
    """What computes the primitive *prim* of numbers."""
    given = tuple(params.items())
    kept = prim.name if prim.vjp is not None else ""
    if prim.name in BASIC and not given:
        return _BASIC[prim.name]
    if not given and isinstance(prim.reference, np.ufunc) and prim.reference in UFUNCS:
        return Scalar(prim.reference, kept)
    return Scalar(texts.text_of(prim, given), kept, given)


def _slope_of_whole_power(arithmetic: Arithmetic, x: Typed, n: Typed) -> Typed:
    """N x^(n - 1), 0 for n = 0: integer exponents are Numba's, and our rule would take a logarithm."""
    one = (n[0], arithmetic.context.get_constant(n[0], 1))
    less = arithmetic.plain(_BASIC["subtract"], [n, one])
    slope = arithmetic.apply(Scalar(operator.pow, "power"), [x, less])
    base = base_of(arithmetic.context, arithmetic.builder, *x)[0]
    slope = arithmetic.basic("multiply", slope, arithmetic.cast(n, base))
    zero = arithmetic._is_zero(n)
    null = arithmetic.context.get_constant_null(slope[0])
    return slope[0], arithmetic.builder.select(zero, null, slope[1])
