"""``np.float64`` and its like in a clone: a dtype, and a call that keeps derivatives."""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from numba import types
from numba.extending import lower_builtin, typeof_impl

from nbgrad.machine.numba_inside import (
    AbstractTemplate,
    AttributeTemplate,
    OpaqueModel,
    infer_getattr,
    register_model,
    signature,
)
from nbgrad.native.active import Active, Carrier, base_of
from nbgrad.native.scalars import typed


class NumberName:
    """What a name such as ``np.float64`` stands for in a clone."""

    def __init__(self, ty: Any) -> None:
        self.ty = ty


class NumberClass(types.NumberClass):
    """Its type."""


@infer_getattr
class _Call(AttributeTemplate):
    key = NumberClass

    def resolve___call__(self, ty: Any) -> Any:
        """What a call is typed by: a cast."""

        class Template(AbstractTemplate):
            key = NumberClass

            def generic(self, args: Any, kws: Any) -> Any:
                if kws or len(args) != 1:
                    return None
                (x,) = args
                inexact = types.Float | types.Complex if isinstance(x, Active) else types.Complex
                if isinstance(x, Carrier) and isinstance(ty.instance_type, inexact):
                    return signature(x.with_base(ty.instance_type), x)
                if isinstance(x, Active | types.Number | types.Boolean):
                    return signature(ty.instance_type, x)
                return None

        return types.Function(Template)


register_model(NumberClass)(OpaqueModel)


@typeof_impl.register(NumberName)
def _typeof(x: NumberName, context: Any) -> Any:
    return NumberClass(x.ty)


@lower_builtin(NumberClass, types.Any)
def _called(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    ty, x = sig.args[0], args[0]
    if not isinstance(sig.return_type, Carrier):
        ty, x = base_of(context, builder, ty, x)
    return context.cast(builder, x, types.unliteral(ty), sig.return_type)


def _float(context: Any, args: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], Active):
        return args[0].with_base(types.float64)
    return None


typed(float, _float)


@lower_builtin(float, Active)
def _as_float(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return context.cast(builder, args[0], sig.args[0], sig.return_type)


_NAMES: Final = (
    "float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8",
    "bool_", "complex128", "complex64",
)  # fmt: skip
NUMBER_NAMES: Final = {
    getattr(np, name): NumberName(numba.from_dtype(np.dtype(getattr(np, name)))) for name in _NAMES
}
