"""Active numbers: what a function of Numba's is compiled for again, to be differentiated.

A ``Dual`` has a value and a tangent, a ``Taped`` one a value and its place on the tape of the thread. Both
hold *components*, which are floats or active again: a dual number of dual numbers has second derivatives,
and a taped one of dual numbers records what a reverse sweep over tangents needs. So there is a type for
each order, and Numba's overloads find their way through them. Place 0 is that of all constants.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models

from nbgrad.machine import operators
from nbgrad.machine.numba_inside import Conversion, lower_cast, lower_constant, register_model


class Carrier(types.Type):
    """What derivatives pass through; ``base`` is the float or complex number that it stands for."""

    base: Any

    def with_base(self, base: Any) -> Any:
        """The same of another float or complex number."""
        raise NotImplementedError

    def alike(self, other: Any) -> bool:
        """Whether *other* differs in its base alone."""
        return isinstance(other, Carrier) and other.with_base(self.base) == self

    def can_convert_from(self, context: Any, other: Any) -> Any:
        """Constants become active; single precision double, real numbers complex."""
        if self.alike(other):
            return context.can_convert(other.base, self.base)
        if isinstance(other, types.Number | types.Boolean) and (
            isinstance(self, ActiveComplex) or not isinstance(other, types.Complex)
        ):
            found = context.can_convert(other, self.base)
            return None if found is None else max(found, Conversion.promote)
        return None

    def unify(self, context: Any, other: Any) -> Any:
        """The type of a variable that is one or the other."""
        if self.alike(other) or isinstance(other, types.Number | types.Boolean):
            base = context.unify_pairs(self.base, getattr(other, "base", other))
            return None if base is None else self.with_base(base)
        return None


class Active(Carrier):
    """A real number that derivatives pass through."""

    def __init__(self, component: Any) -> None:
        self.component = component
        self.base = getattr(component, "base", component)
        super().__init__(f"{type(self).__name__}({component})")

    @property
    def key(self) -> Any:
        return type(self), self.component

    def with_base(self, base: Any) -> Any:
        """The same of another float, or the complex number of two such."""
        if isinstance(base, types.Complex):
            return ActiveComplex(self.with_base(base.underlying_float))
        return type(self)(with_base(self.component, base))


operators.numbers(Carrier)


class ActiveComplex(Carrier):
    """A complex number: two active ones. Its derivatives are those by its real and imaginary part."""

    def __init__(self, part: Any) -> None:
        self.part = part
        self.base = complex_of(part.base)
        super().__init__(f"Complex({part})")

    @property
    def key(self) -> Any:
        return type(self), self.part

    def with_base(self, base: Any) -> Any:
        """The same of another complex number, or its part of a float."""
        return self.part.with_base(base)


def complex_of(part: Any) -> Any:
    """The type of complex numbers of two floats, or of two active numbers."""
    if isinstance(part, Active):
        return ActiveComplex(part)
    return types.complex64 if part == types.float32 else types.complex128


class Dual(Active):
    """A value and its tangent."""


class Taped(Active):
    """A value and its place on the tape."""


def with_base(ty: Any, base: Any) -> Any:
    return ty.with_base(base) if isinstance(ty, Carrier) else base


def mode(order: int, reverse: bool) -> Any:
    """The type of double precision numbers with so many nested tangents, taped or not."""
    found = types.float64
    for _ in range(order):
        found = Dual(found)
    return Taped(found) if reverse else found


@register_model(Dual)
class _DualModel(models.StructModel):
    def __init__(self, manager: Any, ty: Any) -> None:
        super().__init__(manager, ty, [("value", ty.component), ("tangent", ty.component)])


@register_model(Taped)
class _TapedModel(models.StructModel):
    def __init__(self, manager: Any, ty: Any) -> None:
        super().__init__(manager, ty, [("value", ty.component), ("place", types.int64)])


@register_model(ActiveComplex)
class _ComplexModel(models.StructModel):
    def __init__(self, manager: Any, ty: Any) -> None:
        super().__init__(manager, ty, [("real", ty.part), ("imag", ty.part)])


def made(context: Any, builder: Any, ty: Any, value: Any, other: Any) -> Any:
    """A number of the type *ty* from its value, and its tangent or place."""
    empty = ir.Constant(context.get_value_type(ty), ir.Undefined)
    return builder.insert_value(builder.insert_value(empty, value, 0), other, 1)


def parts(context: Any, builder: Any, ty: Any, x: Any) -> tuple[Any, Any]:
    """The value, and the tangent or place, of a number of the type *ty*."""
    return builder.extract_value(x, 0), builder.extract_value(x, 1)


def halves(context: Any, builder: Any, ty: Any, x: Any) -> tuple[Any, Any]:
    """The real and the imaginary part of a complex number, active or not."""
    return builder.extract_value(x, 0), builder.extract_value(x, 1)


def joined(context: Any, builder: Any, part: Any, real: Any, imag: Any) -> Any:
    """The complex number of two parts of the type *part*."""
    return made(context, builder, complex_of(part), real, imag)


def constant_of(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    """A number of the type of its base as a constant of the type *ty*."""
    if isinstance(ty, ActiveComplex):
        parts = halves(context, builder, ty.base, x)
        both = [constant_of(context, builder, ty.part, each) for each in parts]
        return joined(context, builder, ty.part, *both)
    if not isinstance(ty, Active):
        return x
    inner = constant_of(context, builder, ty.component, x)
    kind = ty.component if isinstance(ty, Dual) else types.int64
    return made(context, builder, ty, inner, context.get_constant_null(kind))


def base_of(context: Any, builder: Any, ty: Any, x: Any) -> tuple[Any, Any]:
    """The number that one stands for, with its type; anything else as it is."""
    if isinstance(ty, ActiveComplex):
        both = [
            base_of(context, builder, ty.part, each) for each in halves(context, builder, ty, x)
        ]
        return ty.base, joined(context, builder, ty.part.base, both[0][1], both[1][1])
    while isinstance(ty, Active):
        x, ty = parts(context, builder, ty, x)[0], ty.component
    return ty, x


@lower_cast(types.Number, Carrier)
@lower_cast(types.Boolean, Carrier)
def _of_constant(context: Any, builder: Any, source: Any, target: Any, x: Any) -> Any:
    x = context.cast(builder, x, types.unliteral(source), target.base)
    return constant_of(context, builder, target, x)


@lower_constant(Carrier)
def _literal(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    """A constant that is active: a variable's, of which the user says the type."""
    return constant_of(context, builder, ty, context.get_constant_generic(builder, ty.base, x))


@lower_cast(Active, Active)
def _of_other(context: Any, builder: Any, source: Any, target: Any, x: Any) -> Any:
    value, other = parts(context, builder, source, x)
    value = context.cast(builder, value, source.component, target.component)
    if isinstance(target, Dual):
        other = context.cast(builder, other, source.component, target.component)
    return made(context, builder, target, value, other)


@lower_cast(Active, ActiveComplex)
def _of_real(context: Any, builder: Any, source: Any, target: Any, x: Any) -> Any:
    x = context.cast(builder, x, source, target.part)
    return joined(context, builder, target.part, x, context.get_constant_null(target.part))


@lower_cast(ActiveComplex, ActiveComplex)
def _of_complex(context: Any, builder: Any, source: Any, target: Any, x: Any) -> Any:
    both = [
        context.cast(builder, each, source.part, target.part)
        for each in halves(context, builder, source, x)
    ]
    return joined(context, builder, target.part, *both)


@lower_cast(Active, types.Integer)
@lower_cast(Active, types.Boolean)
def _to_plain(context: Any, builder: Any, source: Any, target: Any, x: Any) -> Any:
    """What a signature cuts: its derivative is zero."""
    ty, x = base_of(context, builder, source, x)
    return context.cast(builder, x, ty, target)
