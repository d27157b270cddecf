"""Real and imaginary parts, conjugates, angles, and the functions of ``cmath``, of active numbers."""

from __future__ import annotations

import cmath
import operator
from typing import Any, Final

import numpy as np
from numba import types
from numba.extending import intrinsic, lower_builtin, overload, overload_attribute, overload_method

from nbgrad.machine.numba_inside import (
    AttributeTemplate,
    TypingError,
    as_dtype,
    infer_getattr,
    lower_getattr,
)
from nbgrad.native.active import Active, ActiveComplex, Carrier, complex_of, halves
from nbgrad.native.algebra import Arithmetic, Scalar
from nbgrad.native.arrays import elementwise, ours_first
from nbgrad.native.complexes import FORMULAS
from nbgrad.native.memory import dtype_of
from nbgrad.native.replacing import METHODS, PREFIX, compiled, element_of, held_by, replaces
from nbgrad.native.scalars import COMPLEX, result_type, typed, typing_context
from nbgrad.structured.calls import MATH

# ------------------------------------------------------------------------------------ of numbers


@infer_getattr
class _Parts(AttributeTemplate):
    key = ActiveComplex

    def resolve_real(self, ty: Any) -> Any:
        return ty.part

    def resolve_imag(self, ty: Any) -> Any:
        return ty.part


@infer_getattr
class _RealParts(AttributeTemplate):
    key = Active

    def resolve_real(self, ty: Any) -> Any:
        return ty

    def resolve_imag(self, ty: Any) -> Any:
        return ty.base


@lower_getattr(ActiveComplex, "real")
def _real(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    return halves(context, builder, ty, x)[0]


@lower_getattr(ActiveComplex, "imag")
def _imag(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    return halves(context, builder, ty, x)[1]


@lower_getattr(Active, "real")
def _itself(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    return x


@lower_getattr(Active, "imag")
def _nothing(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    return context.get_constant_null(ty.base)


def _by_formula(name: str, result: Any) -> Any:
    """A function of a complex number by the formula *name*."""

    @intrinsic
    def function(typingctx: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            ty, value = FORMULAS[name](Arithmetic(context, builder), (x, args[0]))
            return context.cast(builder, value, ty, sig.return_type)

        return result(x)(x), generate

    return function


conjugated: Final = _by_formula("conjugate", lambda ty: ty)
angle_of: Final = _by_formula("angle", lambda ty: ty.part)


@overload_method(ActiveComplex, "conjugate", strict=False)
def _conjugate(x: Any) -> Any:
    return lambda x: conjugated(x)


@overload_method(Active, "conjugate", strict=False)
def _same(x: Any) -> Any:
    return lambda x: x


def _complex(context: Any, args: Any) -> Any:
    """The type of ``complex(real, imag)``."""
    if not any(isinstance(x, Carrier) for x in args) or len(args) > 2:
        return None
    if len(args) == 2 and any(isinstance(x, ActiveComplex | types.Complex) for x in args):
        return None
    found = context.unify_types(*[types.unliteral(x) for x in args], types.float32)
    return found if isinstance(found, ActiveComplex) else complex_of(found)


def _lower_complex(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    if len(args) == 1:
        return context.cast(builder, args[0], sig.args[0], sig.return_type)
    arithmetic = Arithmetic(context, builder)
    made = arithmetic.join(*zip(sig.args, args, strict=True))
    return context.cast(builder, made[1], made[0], sig.return_type)


typed(complex, _complex)
lower_builtin(complex, Carrier)(_lower_complex)
for _kind in COMPLEX[1:-1]:
    lower_builtin(complex, Active, _kind)(_lower_complex)
    if _kind is not Active:
        lower_builtin(complex, _kind, Active)(_lower_complex)


def _register(function: Any, primitive: str) -> None:
    """A function of ``cmath``, whose result is complex whatever the operand is."""
    scalar = Scalar(function, primitive)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        (ty,) = sig.args
        base = ty if isinstance(ty, ActiveComplex) else complex_of(ty)
        given = base, context.cast(builder, args[0], ty, base)
        ty, value = Arithmetic(context, builder).apply(scalar, [given])
        return context.cast(builder, value, ty, sig.return_type)

    def result(context: Any, args: Any) -> Any:
        return result_type(context, function, args, bool(primitive)) if len(args) == 1 else None

    typed(function, result)
    lower_builtin(function, Carrier)(lower)


for _name, _primitive in {**MATH, "isnan": "", "isinf": "", "isfinite": ""}.items():
    if hasattr(cmath, _name):
        _register(getattr(cmath, _name), _primitive)


@overload(cmath.log, strict=False)
def _log_to_base(z: Any, base: Any) -> Any:
    if isinstance(z, Carrier) or isinstance(base, Carrier):
        return lambda z, base: cmath.log(z) / cmath.log(base)
    return None


@overload(cmath.phase, strict=False)
def _phase(z: Any) -> Any:
    if isinstance(z, ActiveComplex):
        return lambda z: angle_of(z)
    return (lambda z: np.arctan2(0.0, z)) if isinstance(z, Active) else None


@overload(cmath.polar, strict=False)
def _polar(z: Any) -> Any:
    return (lambda z: (abs(z), cmath.phase(z))) if isinstance(z, Carrier) else None


@overload(cmath.rect, strict=False)
def _rect(r: Any, phi: Any) -> Any:
    if isinstance(r, Active) or isinstance(phi, Active):
        return lambda r, phi: complex(r * np.cos(phi), r * np.sin(phi))
    return None


# ------------------------------------------------------------------------------------ of arrays


def _view(number: int) -> Any:
    """A function of Numba's: the real (0) or imaginary (1) parts of an array, where they lie."""

    @intrinsic
    def view(typingctx: Any, a: Any) -> Any:
        result = types.Array(a.dtype.part, a.ndim, "A", readonly=not a.mutable)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            given = context.make_array(a)(context, builder, args[0])
            found = context.make_array(result)(context, builder)
            for name in ("meminfo", "parent", "nitems", "shape", "strides"):
                setattr(found, name, getattr(given, name))
            size = context.get_abi_sizeof(context.get_data_type(a.dtype.part))
            pointer = builder.bitcast(given.data, found.data.type)
            found.data = builder.gep(pointer, [context.get_constant(types.intp, number)])
            found.itemsize = found.itemsize.type(size)
            context.nrt.incref(builder, result, found._getvalue())
            return found._getvalue()

        return result(a), generate

    return view


_real_view, _imag_view = _view(0), _view(1)


def part_of(x: Any, number: int) -> Any:
    """Code of the real (0) or imaginary (1) part of numbers or arrays; None if these are not active."""
    held = element_of(x)
    if not isinstance(held, Carrier) or not isinstance(x, types.Array | Carrier):
        return None
    if not isinstance(x, types.Array):
        return (lambda x: x.imag) if number else (lambda x: x.real)
    if isinstance(held, ActiveComplex):
        return (lambda x: _imag_view(x)) if number else (lambda x: _real_view(x))
    if not number:
        return lambda x: x
    kind = dtype_of(held)
    return lambda x: np.zeros(x.shape, kind())


def _attribute(name: str, number: int) -> None:
    """``a.real`` or ``a.imag`` of arrays, by its name in a clone."""
    METHODS.add(name)

    def choose(x: Any) -> Any:
        found = part_of(x, number)
        if found is not None:
            return found
        return (lambda x: x.imag) if number else (lambda x: x.real)

    overload_attribute(types.Array, PREFIX + name, strict=False)(choose)


_attribute("real", 0)
_attribute("imag", 1)


def _bytes(name: str, active: str) -> None:
    """What an array says of its bytes: those of the numbers that active ones stand for."""
    METHODS.add(name)

    def choose(x: Any) -> Any:
        text, held = f"x.{name}", element_of(x)
        space: dict[str, Any] = {"__name__": __name__}
        if isinstance(held, Carrier):
            space["width"] = as_dtype(held.base).itemsize
            each = ", ".join([f"x.strides[{k}] // x.itemsize * width" for k in range(x.ndim)])
            text = active.format(each=each)
        exec(f"def impl(x): return {text}", space)
        return space["impl"]

    overload_attribute(types.Array, PREFIX + name, strict=False)(choose)


_bytes("itemsize", "width")
_bytes("nbytes", "x.size * width")
_bytes("strides", "({each},)")


@overload(operator.eq, strict=False)
def _same_dtype(x: Any, y: Any) -> Any:
    """A comparison of dtypes, one of active numbers: by what these stand for."""
    if not isinstance(x, types.DType) or not isinstance(y, types.DType):
        return None
    if not isinstance(x.dtype, Carrier) and not isinstance(y.dtype, Carrier):
        return None
    same = getattr(x.dtype, "base", x.dtype) == getattr(y.dtype, "base", y.dtype)
    return lambda x, y: same


typing_context().refresh()
ours_first(operator.eq)


OTHER_TYPE: Final = (
    "Cannot read the bytes of an array of numbers that are differentiated as another type: take its elements, "
    "or real and imag"
)


def _as_viewed(a: Any, dtype: Any) -> None:
    """``a.view(dtype)``, which is no function of NumPy's."""


@replaces(_as_viewed, "view")
def _viewed(a: Any, dtype: Any) -> Any:
    if held_by(dtype) != element_of(a).base:
        raise TypingError(OTHER_TYPE)
    return lambda a, dtype: a


@replaces(np.frombuffer)
def _frombuffer(buffer: Any, dtype: Any = None) -> Any:
    raise TypingError(OTHER_TYPE)


def _address(x: Any) -> Any:
    """``a.ctypes``: an address for functions of C, which know nothing of what lies there."""
    if isinstance(element_of(x), Carrier):
        raise TypingError(OTHER_TYPE)
    return lambda x: x.ctypes


METHODS.add("ctypes")
overload_attribute(types.Array, PREFIX + "ctypes", strict=False)(_address)


@replaces(np.isscalar)
def _isscalar(element: Any) -> Any:
    found = isinstance(element, Carrier)
    return lambda element: found


@replaces(np.real)
def _np_real(val: Any) -> Any:
    return _of(part_of(val, 0), "val")


@replaces(np.imag)
def _np_imag(val: Any) -> Any:
    return _of(part_of(val, 1), "val")


def _each(function: Any, x: Any, result: Any) -> Any:
    """A function of an array's elements, or of a number."""
    if not isinstance(x, types.Array):
        return function
    return elementwise(function, [x], result)


def _of(found: Any, name: str) -> Any:
    """*found* with a parameter of another name."""
    if found is None:
        return None
    space = {
        "__name__": __name__,
        "found": found if hasattr(found, "py_func") else compiled(found),
    }
    exec(f"def impl({name}): return found({name})", space)
    return space["impl"]


def _conjugate_of(x: Any) -> Any:
    held = element_of(x)
    if not isinstance(held, ActiveComplex):
        return (lambda x: x.copy()) if isinstance(x, types.Array) else (lambda x: x)
    return _each(compiled(lambda x: conjugated(x)), x, held)


def _conjugate_method(a: Any) -> None:
    """``a.conjugate()``, as ``np.conj`` has the name ``conj``."""


@replaces(np.conjugate, "conj")
def _np_conjugate(x: Any) -> Any:
    return _of(_conjugate_of(x), "x")


@replaces(_conjugate_method, "conjugate")
def _array_conjugate(a: Any) -> Any:
    return _of(_conjugate_of(a), "a")


@replaces(np.angle)
def _np_angle(z: Any, deg: Any = False) -> Any:
    held = element_of(z)
    phase = compiled(lambda x: cmath.phase(x))
    result = held.part if isinstance(held, ActiveComplex) else held
    found = compiled(_each(phase, z, result)) if isinstance(z, types.Array) else phase

    def impl(z: Any, deg: Any = False) -> Any:
        if deg:
            return np.degrees(found(z))
        return found(z)

    return impl
