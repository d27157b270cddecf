"""What Numba is told of active numbers: the types of operators and functions, and what they compile to."""

from __future__ import annotations

import builtins
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any, Final

from numba import types
from numba.extending import intrinsic, lower_builtin, overload

from nbgrad.machine.numba_inside import (
    AbstractTemplate,
    cpu_target,
    infer,
    infer_global,
    signature,
)
from nbgrad.native.active import Active, ActiveComplex, Carrier, base_of
from nbgrad.native.algebra import Arithmetic, Scalar
from nbgrad.native.functions import ARITY_TWO, COMPARED, FUNCTIONS, HOLOMORPHIC

# What may stand beside an active number.
BESIDE: Final = (types.Float, types.Integer, types.Boolean)
# What may be an operand of a function of complex numbers, one of which is active.
COMPLEX: Final = (ActiveComplex, Active, *BESIDE, types.Complex)


def typing_context() -> Any:
    """What Numba types functions with."""
    return cpu_target.typing_context


def result_type(context: Any, function: Any, args: tuple[Any, ...], carries: bool) -> Any:
    """The type of the function of active numbers, or None if it is not of such."""
    level = next((x for x in args if isinstance(x, Carrier)), None)
    if level is None or not all(isinstance(x, COMPLEX) for x in args):
        return None
    given = tuple([types.unliteral(getattr(x, "base", x)) for x in args])
    found = context.resolve_value_type(function).get_call_type(context, given, {})
    if found is None:
        return None
    result = found.return_type
    if carries and isinstance(result, types.Float | types.Complex):
        return level.with_base(result)
    return None if isinstance(result, types.Complex) else result


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
    if primitive in HOLOMORPHIC or function in COMPARED:
        _register_complex(function, primitive, lower)
    if primitive not in ARITY_TWO:
        lower_builtin(function, Active)(lower)
    if primitive in ARITY_TWO or not primitive:
        lower_builtin(function, Active, Active)(lower)
        for kind in BESIDE:
            lower_builtin(function, Active, kind)(lower)
            lower_builtin(function, kind, Active)(lower)


def _register_complex(function: Any, primitive: str, lower: Any) -> None:
    if primitive not in ARITY_TWO and function not in (operator.eq, operator.ne):
        lower_builtin(function, ActiveComplex)(lower)
        return
    for kind in COMPLEX:
        lower_builtin(function, ActiveComplex, kind)(lower)
        if kind is not ActiveComplex:
            lower_builtin(function, kind, ActiveComplex)(lower)
    lower_builtin(function, Active, types.Complex)(lower)
    lower_builtin(function, types.Complex, Active)(lower)


def _register_all() -> None:
    for primitive, functions in FUNCTIONS.items():
        for function in functions:
            _register(function, primitive)


_register_all()


def _extremum(function: Any, compare: Any) -> None:
    """Python's ``max`` and ``min``: the first of what is not exceeded."""

    def typing(context: Any, args: Any) -> Any:
        if len(args) > 1 and any(isinstance(x, Active) for x in args):
            found = context.unify_types(*[types.unliteral(x) for x in args])
            return found if isinstance(found, Active) else None
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
@lower_builtin(bool, ActiveComplex)
@lower_builtin(operator.truth, ActiveComplex)
def _truth(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    ty, x = base_of(context, builder, sig.args[0], args[0])
    return context.cast(builder, x, ty, types.boolean)


@overload(math.ldexp, strict=False)
def _ldexp(x: Any, n: Any) -> Any:
    return (lambda x, n: x * math.ldexp(1.0, n)) if isinstance(x, Active) else None


@intrinsic
def value_of(typingctx: Any, x: Any) -> Any:
    """The number that one stands for."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return base_of(context, b, x, args[0])[1]

    return getattr(x, "base", x)(x), generate


@overload(math.frexp, strict=False)
def _frexp(x: Any) -> Any:
    if not isinstance(x, Active):
        return None

    def impl(x: Any) -> Any:
        exponent = math.frexp(value_of(x))[1]
        return math.ldexp(x, -exponent), exponent

    return impl


@overload(divmod, strict=False)
def _divmod(x: Any, y: Any) -> Any:
    return (
        (lambda x, y: (x // y, x % y)) if isinstance(x, Active) or isinstance(y, Active) else None
    )


@overload(operator.getitem, strict=False)
def _item(x: Any, index: Any) -> Any:
    """An item by a number that is no literal, of a tuple of which some are active: Numba has that of one type."""
    if not isinstance(x, types.Tuple) or not isinstance(index, types.Integer):
        return None
    if not all(isinstance(item, (Active, *BESIDE)) for item in x):
        return None
    if not any(isinstance(item, Active) for item in x):
        return None
    lines = [f"    if k == {k}: return x[{k}]" for k in range(len(x))]
    text = f"""
def impl(x, index):
    k = index + {len(x)} if index < 0 else index
{chr(10).join(lines)}
    raise IndexError("tuple index out of range")
"""
    space: dict[str, Any] = {}
    exec(text, space)
    return space["impl"]


@infer
class _Iterated(AbstractTemplate):
    """A loop over a tuple of which some are active: Numba has that of one type."""

    key = "getiter"

    def generic(self, args: Any, kws: Any) -> Any:
        (ty,) = args
        if not isinstance(ty, types.Tuple) or not any(isinstance(x, Carrier) for x in ty):
            return None
        one = self.context.unify_types(*[types.unliteral(x) for x in ty])
        if one is None:
            return None
        same = types.UniTuple(one, len(ty))
        return signature(same.iterator_type, same)
