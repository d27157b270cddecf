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

from nbgrad.machine.numba_inside import Conversion, lower_cast, register_model


class Active(types.Type):
    """A number that derivatives pass through; ``base`` is the float that it stands for."""

    def __init__(self, component: Any) -> None:
        self.component = component
        self.base = getattr(component, "base", component)
        super().__init__(f"{type(self).__name__}({component})")

    @property
    def key(self) -> Any:
        return type(self), self.component

    def with_base(self, base: Any) -> Any:
        """The same of another float."""
        return type(self)(with_base(self.component, base))

    def alike(self, other: Any) -> bool:
        """Whether *other* differs in its float alone."""
        return isinstance(other, Active) and other.with_base(self.base) == self

    def can_convert_from(self, context: Any, other: Any) -> Any:
        """Constants become active; a single precision number a double one."""
        if self.alike(other):
            return context.can_convert(other.base, self.base)
        if isinstance(other, types.Number | types.Boolean) and not isinstance(
            other, types.Complex
        ):
            found = context.can_convert(other, self.base)
            return None if found is None else max(found, Conversion.promote)
        return None

    def unify(self, context: Any, other: Any) -> Any:
        """The type of a variable that is one or the other."""
        if self.alike(other) or isinstance(other, types.Float | types.Integer | types.Boolean):
            base = context.unify_pairs(self.base, getattr(other, "base", other))
            return None if base is None else self.with_base(base)
        return None


class Dual(Active):
    """A value and its tangent."""


class Taped(Active):
    """A value and its place on the tape."""


def with_base(ty: Any, base: Any) -> Any:
    return ty.with_base(base) if isinstance(ty, Active) else base


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


def made(context: Any, builder: Any, ty: Any, value: Any, other: Any) -> Any:
    """A number of the type *ty* from its value, and its tangent or place."""
    empty = ir.Constant(context.get_value_type(ty), ir.Undefined)
    return builder.insert_value(builder.insert_value(empty, value, 0), other, 1)


def parts(context: Any, builder: Any, ty: Any, x: Any) -> tuple[Any, Any]:
    """The value, and the tangent or place, of a number of the type *ty*."""
    return builder.extract_value(x, 0), builder.extract_value(x, 1)


def constant_of(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    """A float of the type of its base as a constant of the type *ty*."""
    if not isinstance(ty, Active):
        return x
    inner = constant_of(context, builder, ty.component, x)
    kind = ty.component if isinstance(ty, Dual) else types.int64
    return made(context, builder, ty, inner, context.get_constant_null(kind))


def base_of(context: Any, builder: Any, ty: Any, x: Any) -> tuple[Any, Any]:
    """The float that a number stands for, with its type; anything else as it is."""
    while isinstance(ty, Active):
        x, ty = parts(context, builder, ty, x)[0], ty.component
    return ty, x


@lower_cast(types.Float, Active)
@lower_cast(types.Integer, Active)
@lower_cast(types.Boolean, Active)
def _of_constant(context: Any, builder: Any, source: Any, target: Any, x: Any) -> Any:
    x = context.cast(builder, x, types.unliteral(source), target.base)
    return constant_of(context, builder, target, x)


@lower_cast(Active, Active)
def _of_other(context: Any, builder: Any, source: Any, target: Any, x: Any) -> Any:
    value, other = parts(context, builder, source, x)
    value = context.cast(builder, value, source.component, target.component)
    if isinstance(target, Dual):
        other = context.cast(builder, other, source.component, target.component)
    return made(context, builder, target, value, other)
