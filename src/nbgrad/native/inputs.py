"""Arguments that are read where they lie: arrays of inputs whose places on the tape follow from the index.

An array of active numbers has a place beside each value, and is twice as large as what the user gave. Where
a function takes elements of an argument by index alone, it is given the address, the extents and the place of the
first instead. This is no array to Numba: what else a function does with it is not typed, and it gets an
array then.
"""

from __future__ import annotations

import builtins
import operator
from typing import Any, Final

import numba
from numba import types
from numba.extending import intrinsic, models, overload, overload_attribute

from nbgrad.machine.numba_inside import (
    NumbaError,
    create_struct_proxy,
    register_model,
    run_frontend,
)
from nbgrad.native.active import made
from nbgrad.native.forms import Leaf, Request
from nbgrad.native.pushing import I64

# What is read of an argument beside its elements.
EXTENTS: Final = ("shape", "size", "ndim")


class Inputs(types.Type):
    """A C-contiguous array of inputs, the elements of which are active numbers of the type *dtype*."""

    constant_elements = True

    def __init__(self, dtype: Any, ndim: int) -> None:
        self.dtype, self.ndim = dtype, ndim
        super().__init__(f"Inputs({dtype}, {ndim})")


@register_model(Inputs)
class _InputsModel(models.StructModel):
    def __init__(self, manager: Any, ty: Any) -> None:
        pointer, shape = types.CPointer(ty.dtype.base), types.UniTuple(types.intp, ty.ndim)
        super().__init__(
            manager, ty, [("data", pointer), ("shape", shape), ("place", types.int64)]
        )


@intrinsic
def inputs_of(typingctx: Any, kind: Any, data: Any, shape: Any, place: Any) -> Any:
    """The array of inputs at an address, of which the first has a place."""
    result = Inputs(kind.dtype, len(shape))

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        found = create_struct_proxy(result)(context, b)
        _, found.data, found.shape, found.place = args
        return found._getvalue()

    return result(kind, data, shape, place), generate


@intrinsic
def _element(typingctx: Any, a: Any, index: Any) -> Any:
    """The input at an index, which counts from the end if it is less than 0."""

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        array = create_struct_proxy(a)(context, b, value=args[0])
        kinds, given = (index,), [args[1]]
        if isinstance(index, types.BaseTuple):
            kinds, given = index.types, [b.extract_value(args[1], k) for k in range(a.ndim)]
        at = I64(0)
        for k, (kind, x) in enumerate(zip(kinds, given, strict=True)):
            extent = b.extract_value(array.shape, k)
            x = context.cast(b, x, kind, types.intp)
            if kind.signed:
                x = b.select(b.icmp_signed("<", x, I64(0)), b.add(x, extent), x)
            at = b.add(b.mul(at, extent), x)
        value = b.load(b.gep(array.data, [at]))
        return made(context, b, a.dtype, value, b.add(array.place, at))

    return a.dtype(a, index), generate


@intrinsic
def _shape(typingctx: Any, a: Any) -> Any:
    result = types.UniTuple(types.intp, a.ndim)

    def generate(context: Any, b: Any, sig: Any, args: Any) -> Any:
        return create_struct_proxy(a)(context, b, value=args[0]).shape

    return result(a), generate


@overload(operator.getitem, strict=False)
def _getitem(a: Any, index: Any) -> Any:
    if not isinstance(a, Inputs):
        return None
    kinds = index.types if isinstance(index, types.BaseTuple) else (index,)
    if len(kinds) != a.ndim or not all(isinstance(x, types.Integer) for x in kinds):
        return None
    return lambda a, index: _element(a, index)


@overload(builtins.len, strict=False)
def _len(a: Any) -> Any:
    return (lambda a: _shape(a)[0]) if isinstance(a, Inputs) else None


@overload_attribute(Inputs, "shape", strict=False)
def _shape_of(a: Any) -> Any:
    return lambda a: _shape(a)


@overload_attribute(Inputs, "ndim", strict=False)
def _ndim_of(a: Any) -> Any:
    ndim = a.ndim
    return lambda a: ndim


@overload_attribute(Inputs, "size", strict=False)
def _size_of(a: Any) -> Any:
    def size(a: Any) -> Any:
        n = 1
        for extent in _shape(a):
            n *= extent
        return n

    return size


# ------------------------------------------------------------------------- which arguments these are


def read_by_element(request: Request) -> frozenset[int]:
    """The leaves that a function takes elements of by index, and does nothing else with."""
    options = request.dispatcher.targetoptions
    if (
        request.order
        or not request.reverse
        or options.get("boundscheck", numba.config.BOUNDSCHECK)
    ):
        return frozenset()  # whose arrays say what is out of bounds
    code = request.py_func.__code__
    arguments = zip(code.co_varnames[: code.co_argcount], request.arguments, strict=False)
    arrays = {
        name: x
        for name, x in arguments
        if isinstance(x, Leaf) and x.ndim and x.dtype.kind == "f" and x.number in request.active
    }
    if not arrays:
        return frozenset()
    try:
        blocks = run_frontend(request.py_func).blocks.values()
    except NumbaError:  # told when it is compiled
        return frozenset()
    statements = [x for block in blocks for x in block.body]
    made_by = {x.target.name: x.value for x in statements if type(x).__name__ == "Assign"}
    for statement in statements:
        value = getattr(statement, "value", None)
        if type(value).__name__ != "Arg":
            for name in {x.name for x in statement.list_vars()} & set(arrays):
                if not _reads(value, name, arrays[name].ndim, made_by):
                    del arrays[name]
    return frozenset(x.number for x in arrays.values())


def _reads(expr: Any, name: str, ndim: int, made_by: dict[str, Any]) -> bool:
    """Whether an expression takes an element of the array *name*, or an extent, and nothing else of it."""
    op = getattr(expr, "op", "")
    if op == "call":
        return _called(expr, made_by) is len
    if op not in ("getitem", "static_getitem", "getattr") or expr.value.name != name:
        return False
    if op == "getattr":
        return expr.attr in EXTENTS
    if op == "static_getitem":
        constant = expr.index if isinstance(expr.index, tuple) else (expr.index,)
        return len(constant) == ndim and all(isinstance(x, int) for x in constant)
    index: Any = made_by.get(expr.index.name)
    parts = [made_by.get(x.name) for x in index.items] if _is(index, "build_tuple") else [index]
    # What is no number is refused later, by Numba's types; slices are many, and are seen here.
    return len(parts) == ndim and not any(
        _is(x, "call") and _called(x, made_by) is slice for x in parts
    )


def _called(expr: Any, made_by: dict[str, Any]) -> Any:
    made = made_by.get(expr.func.name)
    # An expression, such as a function that is made inside, raises KeyError for what it has not.
    return None if hasattr(made, "op") else getattr(made, "value", None)


def _is(expr: Any, op: str) -> bool:
    return getattr(expr, "op", "") == op
