"""NumPy's protocols: ufuncs and functions of NumPy on tensors become operations of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np

from nbgrad.core.boxes import nested
from nbgrad.core.foreign import numbers_of
from nbgrad.core.lazy import LazyModule
from nbgrad.core.lookup import ours
from nbgrad.core.missing import full_name, missing
from nbgrad.core.modes import asked_by, modes, watching
from nbgrad.core.node import Node, NoNumbersError
from nbgrad.core.operands import PLAIN, as_operand, unwrap
from nbgrad.core.primitive import Primitive, bind
from nbgrad.core.recipes import replay
from nbgrad.core.registry import about_tensors, by_reference, marked, patchers, viewers, writers
from nbgrad.core.values import value_of
from nbgrad.errors import CUT, NEEDS_COPY, AutogradError
from nbgrad.ops.basis import strong
from nbgrad.ops.elements import selection
from nbgrad.tensors import views
from nbgrad.tensors.calls import Call, of_one
from nbgrad.tensors.dispatch import again, apart, binary, operand, reflected, unary
from nbgrad.tensors.exits import EXITS, leave
from nbgrad.vocabulary import shapes

asking = LazyModule("nbgrad.tensors.asking")
ufuncs = LazyModule("nbgrad.vocabulary.elements.ufunc_methods")
_ROOTS = "scipy.optimize._zeros_py"  # of root finders, which look for NaN first
# What SciPy's solvers call on what a user's function gave them, and minimize_scalar on its results.
_TAKEN = frozenset({np.atleast_1d, np.atleast_2d, np.reshape})


def wrap(x: Any, tensor: Any, operands: Sequence[Any] = ()) -> Any:
    """Return nodes as tensors; none shares its node with a tracked operand."""
    if x.__class__ is Node:
        if x.aval.weak:  # of a traced number: NumPy's functions return arrays
            return tensor(strong(x))
        if x.requires_grad:
            for y in operands:
                if x is y:
                    return tensor(apart(x))
        return tensor(x)
    return nested(x, lambda item: wrap(item, tensor, operands))


def apply(tensor: Any, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a *function* of nodes with tensors; one that writes binds its first argument anew."""
    if kwargs and kwargs.get("out") is not None:
        given = dict(kwargs)
        return _written(function, given.pop("out"), apply(tensor, function, args, given))
    result, operands = None, args
    if not kwargs and args and args[0].__class__ is tensor and len(args) == 1:
        operands = (args[0]._node,)
        recipe = of_one(function, operands[0])
        if recipe is not None:
            kind = viewers.get(function)
            if recipe.window and kind is not None and kind != "uncopied":
                return again(args[0], recipe, views.share, views.CONDITIONS[kind])
            result = replay(recipe, operands)
    if result is None:
        call = Call(tensor, function, args, kwargs)
        result, operands = call.again(), call.nodes
        if result is None:
            operands, settings = unwrap(args), unwrap(kwargs)
            result = call.run(function, operands, settings)
            operands = (*operands, *settings.values())
    if function not in marked:
        return wrap(result, tensor, operands)
    if function in viewers:
        return _shared(wrap(result, tensor, operands), tensor, function, args, kwargs)
    patches = function in patchers and (kwargs.get("copy") is False or args[1:2] == (False,))
    if not patches and function not in writers:
        return wrap(result, tensor, operands)
    target: Any = args[0] if args else kwargs[next(iter(signature(function).parameters))]
    if not isinstance(target, tensor):
        raise TypeError(
            f"{function.__name__} of a {type(target).__name__} with tensors would cut the "
            "gradient: write into a tensor, nbgrad.tensor(array)"
        )
    target._rebind(result)
    return target if patches else None


def _written(function: Any, out: Any, made: Any) -> Any:
    """*out*, a tensor or an array, with the result *made* written to it as NumPy does."""
    if isinstance(out, tuple) and len(out) == 1:
        out = out[0]
    name = getattr(function, "__name__", None) or function.name
    if not hasattr(made.__class__, "_node") or not hasattr(out, "shape"):
        raise TypeError(f"{name}: out= is of one result, and must be a tensor or an array")
    if made.shape != out.shape:
        raise ValueError(f"{name}: out= has shape {out.shape}, and the result {made.shape}")
    np.copyto(out, made)
    return out


def _shared(made: Any, tensor: type, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Let the results of a function whose results are views be views, unless it is to copy."""
    kind = viewers[function]
    if kwargs.get("copy", kind == "uncopied"):
        return made
    operands = _tensors((*args, *kwargs.values()), tensor)
    made = _views(made, operands, kind)
    if kwargs.get("copy") is False and kind == "strided" and operands and made._alias is None:
        raise ValueError(NEEDS_COPY)
    return made


def _tensors(xs: Any, tensor: type) -> list[Any]:
    """The tensors among arguments and in their lists."""
    found = []
    for x in xs:
        if isinstance(x, tensor):
            found.append(x)
        elif isinstance(x, (tuple, list)):
            found += _tensors(x, tensor)
    return found


def _views(made: Any, operands: list[Any], kind: Any) -> Any:
    """Let results be views of the operands they are made of."""
    if isinstance(made, (tuple, list)):
        for item in made:
            _views(item, operands, kind)
        return made
    return views.adopt(made, operands, kind)


def as_index(index: Any) -> Any:
    """Replace the tensors of an index by arrays (or by nodes, while tracing), a series too."""
    if isinstance(index, tuple):
        return tuple(as_index(item) for item in index)
    if index.__class__ in PLAIN and index.__class__ is not slice:
        return index
    if isinstance(index, slice):
        parts = (index.start, index.stop, index.step)
        return slice(*(p if p is None else p.__index__() for p in parts))
    if not hasattr(index.__class__, "_node"):
        return numbers_of(index)
    node = index._node
    try:
        array = value_of(node)
    except TypeError:  # a traced value
        return node
    return int(array) if not array.ndim and array.dtype.kind in "iu" else array


# The short way of ufuncs that are primitives of one or two operands: filled on their first use.
direct: dict[Any, Any] = {}
flipped: dict[Any, Any] = {}  # of a tensor and what stands before it


def call_ufunc(tensor: type, ufunc: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """``__array_ufunc__``: route *ufunc* to our operation of the same meaning."""
    given = dict(kwargs)
    outs = given.pop("out", None) or (None,) * ufunc.nout
    name = f"numpy.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    targets = outs if method != "at" else inputs[:1]
    if any(isinstance(out, np.ndarray) for out in targets):
        called = ufunc if method == "__call__" else getattr(ufunc, method)
        return on_arrays(name, called, inputs, kwargs)
    if method == "at":
        index = as_index(inputs[1])
        found = ufuncs.apply(ufunc, method, [*unwrap(inputs[:1]), index, *unwrap(inputs[2:])], {})
        inputs[0]._rebind(found)
        return None
    mask = given.pop("where", True) if method == "__call__" else True
    if mask is not True and any(o is None for o in outs):
        raise ValueError(
            f"{name}(where=...) without out= leaves the other elements undefined; write "
            f"nbgrad.where(mask, nbgrad.{ufunc.__name__}(...), value)"
        )
    found = ufuncs.apply(ufunc, method, unwrap(inputs), unwrap(given))
    results = found if isinstance(found, tuple) else (found,)
    wrapped = [_stored(r, o, unwrap(mask), tensor) for r, o in zip(results, outs, strict=False)]
    return tuple(wrapped) if isinstance(found, tuple) else wrapped[0]


def call_plainly(tensor: Any, ufunc: Any, inputs: Any) -> Any:
    """A call of *ufunc* without keywords."""
    if ufunc is np.isnan and inputs[0]._node.requires_grad and asked_by(_ROOTS, 2):
        # Its compiled code goes on with an error set if it cannot have the number.
        raise AutogradError(CUT.format(what="float()", fix=asking.advice("Give it x.detach().")))
    function = ours(ufunc)
    if function is None:
        raise missing(full_name(ufunc))
    if isinstance(function, Primitive):
        if ufunc not in direct and ufunc.nin <= 2 and ufunc is not np.isnan:
            if ufunc.nin == 1:
                direct[ufunc] = unary(function)
            else:
                direct[ufunc], flipped[ufunc] = binary(function), reflected(function)
        return tensor(bind(function, *[operand(x) for x in inputs]))
    found = function(*[as_operand(operand(x)) for x in inputs])
    return tensor(found) if found.__class__ is Node else wrap(found, tensor)


def _stored(result: Any, out: Any, mask: Any, tensor: Any) -> Any:
    """*result* as a tensor: *out*, bound to it where *mask* holds, if there is one."""
    if out is None:
        return tensor(result)
    old = out._node
    if mask is not True:
        result = selection.where(shapes.as_node(mask), result, old)
    if result.shape != old.shape:
        result = shapes.broadcast_to(result, old.shape)
    return out._rebind(result)


def call_function(tensor: type, function: Any, args: Any, kwargs: Any) -> Any:
    """``__array_function__``: the same for NumPy's other functions."""
    implementation = by_reference.get(function)
    if implementation is None:
        if function in EXITS:
            return leave(function, args, kwargs)
        if function in about_tensors:
            return about_tensors[function](*args, **kwargs)
        implementation = ours(function)
        if implementation is None:
            raise missing(full_name(function))
    if implementation not in marked:
        pass
    elif function in _TAKEN:
        to_number = function is not np.reshape or args[1:] == ((),)
        if to_number and asked_by("scipy.optimize", 2) and not modes.tracing:
            return function(*[_array(x) for x in args])
    elif args and isinstance(args[0], np.ndarray) and implementation in writers:
        return on_arrays(full_name(function), function, args, kwargs)
    try:
        return apply(tensor, implementation, args, kwargs)
    except NoNumbersError as error:  # text and None, which arrays may hold beside plain numbers
        return on_arrays(full_name(function), function, args, kwargs, error)


def _array(x: Any) -> Any:
    """What a user's function gave a solver of SciPy's, which computes on with it, as an array."""
    return x.numpy() if hasattr(x.__class__, "_node") else x


def on_arrays(
    name: str, function: Any, args: Any, kwargs: dict[str, Any], error: Exception | None = None
) -> Any:
    """Call NumPy's *function*, which writes into an array or makes one of objects, with the tensors' values.

    Raises
    ------
    TypeError
        If one of them is tracked: an array has no gradient. It is *error*, if there is one.
    """

    def plain(x: Any) -> Any:
        kind = x.__class__
        if hasattr(kind, "_node"):
            if x._node.requires_grad and modes.grad:
                raise error or TypeError(
                    f"{name} would write the result of a tensor to an array, which would cut the "
                    "gradient: leave out= away, make it a tensor (nbgrad.zeros instead of "
                    "numpy.zeros), or use tensor.detach().numpy()"
                )
            return value_of(x._node)
        if kind is tuple or kind is list:
            return kind([plain(item) for item in x])
        return x

    if modes.tracing:
        raise error or TypeError(
            f"{name} would write into an array while nbgrad.jit traces the function, once for all "
            "calls: make the array a tensor (nbgrad.zeros instead of numpy.zeros)"
        )
    if watching.any:
        modes.exported += 1
    given = {key: plain(x) for key, x in kwargs.items()}
    return function(*plain(tuple(args)), **given)
