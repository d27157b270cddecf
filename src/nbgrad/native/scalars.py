"""What Numba is told of active numbers: the types of operators and functions, and what they compile to."""

from __future__ import annotations

import builtins
import itertools
import operator
from collections.abc import Callable
from typing import Any, Final

from numba import types
from numba.extending import lower_builtin, overload_attribute

from nbgrad.machine.numba_inside import AbstractTemplate, cpu_target, infer_global, signature
from nbgrad.native.active import Active, base_of
from nbgrad.native.algebra import Arithmetic, Scalar
from nbgrad.native.functions import ARITY_TWO, FUNCTIONS

# What may stand beside an active number.
BESIDE: Final = (types.Float, types.Integer, types.Boolean)


def typing_context() -> Any:
    """What Numba types functions with."""
    return cpu_target.typing_context


def result_type(context: Any, function: Any, args: tuple[Any, ...], carries: bool) -> Any:
    """The type of the function of active numbers, or None if it is not of such."""
    level = next((x for x in args if isinstance(x, Active)), None)
    if level is None or not all(isinstance(x, (Active, *BESIDE)) for x in args):
        return None
    given = tuple([types.unliteral(getattr(x, "base", x)) for x in args])
    found = context.resolve_value_type(function).get_call_type(context, given, {})
    if found is None:
        return None
    result = found.return_type
    return level.with_base(result) if carries and isinstance(result, types.Float) else result


def typed(function: Any, result: Callable[[Any, tuple[Any, ...]], Any]) -> None:
    """Tell Numba the type that a function has of arguments, or None: ``result(context, types)``."""

    class Template(AbstractTemplate):
        key = function

        def generic(self, args: Any, kws: Any) -> Any:
            found = None if kws else result(self.context, args)
            return None if found is None else signature(found, *args)

    infer_global(function, types.Function(Template))


def _register(function: Any, primitive: str) -> None:
    scalar = Scalar(function, primitive)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pairs = list(zip(sig.args, args, strict=True))
        ty, value = Arithmetic(context, builder).apply(scalar, pairs)
        return context.cast(builder, value, ty, sig.return_type)

    typed(function, lambda context, args: result_type(context, function, args, bool(primitive)))
    if primitive not in ARITY_TWO:
        lower_builtin(function, Active)(lower)
    if primitive in ARITY_TWO or not primitive:
        lower_builtin(function, Active, Active)(lower)
        for kind in BESIDE:
            lower_builtin(function, Active, kind)(lower)
            lower_builtin(function, kind, Active)(lower)


def _register_all() -> None:
    for primitive, functions in FUNCTIONS.items():
        for function in functions:
            _register(function, primitive)


_register_all()


def _extremum(function: Any, compare: Any) -> None:
    """Python's ``max`` and ``min``: the first of what is not exceeded."""

    def typing(context: Any, args: Any) -> Any:
        if len(args) > 1 and any(isinstance(x, Active) for x in args):
            return context.unify_types(*[types.unliteral(x) for x in args])
        return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        arithmetic = Arithmetic(context, builder)
        best, *rest = [
            (sig.return_type, context.cast(builder, x, ty, sig.return_type))
            for ty, x in zip(sig.args, args, strict=True)
        ]
        for x in rest:
            best = arithmetic.chosen(arithmetic.apply(compare, [x, best]), x, best)
        return best[1]

    typed(function, typing)
    for count in range(2, 6):
        for kinds in itertools.product((Active, types.Any), repeat=count):
            if Active in kinds:  # each by itself: of two that fit Numba takes neither
                lower_builtin(function, *kinds)(lower)


_extremum(builtins.max, Scalar(operator.gt, ""))
_extremum(builtins.min, Scalar(operator.lt, ""))


@lower_builtin(bool, Active)
@lower_builtin(operator.truth, Active)
def _truth(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    ty, x = base_of(context, builder, sig.args[0], args[0])
    return context.cast(builder, x, ty, types.boolean)


@overload_attribute(Active, "real")
def _real(x: Any) -> Any:
    return lambda x: x
