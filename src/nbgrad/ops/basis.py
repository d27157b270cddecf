"""Structure: casts, broadcasts, shapes, slices and their adjoints, and the sum.

These stand together because their adjoints refer to one another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval, strides_of_reshape, weak_aval
from nbgrad.core.node import Node
from nbgrad.core.ports import ports
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.registry import register_view
from nbgrad.ops.kinds.algebra import TOTAL
from nbgrad.ops.kinds.batching import ALIGNED, LEADING, SHIFTED, widened
from nbgrad.ops.kinds.cotangents import expand, materialize
from nbgrad.ops.kinds.forms import Assembly, Combine, Expression, Host, Part, View
from nbgrad.ops.kinds.linear import linear
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.kinds.reduction import reduction
from nbgrad.ops.totals import total


def _cast_prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    (x,) = xs
    dtype = np.dtype(params["dtype"])
    return xs, weak_aval(dtype) if "weak" in params else make_aval(x.shape, dtype), (x.dtype,)


def _cast_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any]:
    return (materialize(ct, xs[0].aval),) if xs[0].aval.inexact else (None,)


def _cast_jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
    return cast(materialize(tangents[0], xs[0].aval), dtype=y.dtype)


def _cast(x: Any, dtype: Any, weak: bool = False) -> Any:
    array = np.asarray(x)
    if array.dtype.kind == "c" and dtype.kind not in "cb":
        array = array.real  # what the edge from complex to real keeps of a cotangent
    return array.astype(dtype)


cast = Primitive(
    name="cast",
    kind="elementwise",
    evaluate=_cast,
    prepare=_cast_prepare,
    rules=Rules(_cast_vjp, _cast_jvp, ALIGNED),
    lower=Expression("{to}({x})", "fiub", complex_text="as_{to}({x})"),
    cases=tuple({"dtype": np.dtype(d)} for d in (np.float64, np.float32, np.int64, bool)),
    grad_name="ToCopy",
    doc="Convert to another dtype; the cotangent is converted back.",
    alias=True,
    structural=True,
)


def strong(x: Node) -> Node:
    """*x*, as an array to promotion if it is a number: what NumPy's functions return."""
    return cast(x, dtype=x.dtype) if x.aval.weak else x  # type: ignore[no-any-return]


def _full_prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    dtype = np.dtype(params["dtype"])
    (value,) = xs
    if value.__class__ is Node and value.dtype != dtype:
        xs = (cast(value, dtype=dtype),)
    return xs, make_aval(params["shape"], dtype), (dtype,)


def _full_of_each(prim: Any, xs: Any, mapped: Any, params: dict[str, Any], size: int) -> Node:
    """Arrays filled with a number each."""
    (numbers,) = xs
    if numbers.dtype != params["dtype"]:
        numbers = cast(numbers, dtype=params["dtype"])
    rank = len(params["shape"])
    found: Node = broadcast_to(widened(numbers, rank), shape=(size, *params["shape"]))
    return found


full = Primitive(
    name="full",
    kind="linear",
    evaluate=lambda value, shape, dtype: np.full(shape, value, dtype),
    prepare=_full_prepare,
    rules=Rules(batch=_full_of_each),
    lower=View("full", keeps_elements=False),
    cases=(((), {"shape": (2, 3), "dtype": np.dtype(np.float64)}),),
    grad_name="Full",
    doc="An array filled with one number.",
    structural=True,
)


def _broadcast_adjoint(ct: Node, x: Aval, shape: tuple[int, ...]) -> Node:
    lead = len(shape) - x.ndim
    axis = tuple(range(lead)) + tuple(
        k + lead for k, n in enumerate(x.shape) if n == 1 and shape[k + lead] != 1
    )
    ct = sum_(ct, axis=axis, keepdims=False) if axis else ct
    return ct if ct.shape == x.shape else reshape(ct, shape=x.shape)


broadcast_to = linear(
    "broadcast_to",
    aval=lambda x, shape: make_aval(shape, x.dtype),
    adjoint=_broadcast_adjoint,
    evaluate=lambda x, shape: np.broadcast_to(x, shape),
    batch=lambda prim, xs, mapped, params, size: prim(
        widened(xs[0], len(params["shape"])), shape=(size, *params["shape"])
    ),
    lower=View("broadcast_to"),
    cases=(((3,), {"shape": (2, 3)}), ((2, 1), {"shape": (2, 3)}), ((), {"shape": (2,)})),
    doc="Repeat along new or size-one dimensions, as NumPy broadcasting does.",
    alias=True,
    grad_name="Expand",
    structural=True,
)


def _unbroadcast(x: Any, y: Node, params: dict[str, Any]) -> Node:
    """One of the copies of each element."""
    lead = y.ndim - len(x.shape)
    sizes = (1,) * lead + x.shape
    first = slice_(y, starts=(0,) * y.ndim, sizes=sizes, steps=(1,) * y.ndim)
    return reshape(first, shape=x.shape)


register_view(broadcast_to, _unbroadcast, lambda shape, strides, params: None, writable=False)


def _reshape_aval(x: Aval, shape: tuple[int, ...]) -> Aval:
    aval = make_aval(shape, x.dtype)
    if aval.size != x.size:
        raise ValueError(
            f"reshape: cannot reshape array of size {x.size} (shape {x.shape}) into shape {shape}"
        )
    return aval


reshape = linear(
    "reshape",
    aval=_reshape_aval,
    adjoint=lambda ct, x, shape: reshape(ct, shape=x.shape),
    evaluate=lambda x, shape: np.reshape(x, shape),
    lower=View("reshape"),
    cases=(((2, 3), {"shape": (6,)}), ((2, 3), {"shape": (3, 2)}), ((1, 4), {"shape": (4, 1)})),
    doc="The same elements in another shape.",
    alias=True,
    grad_name="View",
)

register_view(
    reshape,
    lambda x, y, params: reshape(y, shape=x.shape),
    lambda shape, strides, params: strides_of_reshape(shape, strides, params["shape"]),
)

transpose = linear(
    "transpose",
    aval=lambda x, perm: make_aval(tuple(x.shape[k] for k in perm), x.dtype),
    adjoint=lambda ct, x, perm: transpose(ct, perm=tuple(int(k) for k in np.argsort(perm))),
    evaluate=lambda x, perm: np.transpose(x, perm),
    lower=View("transpose"),
    cases=(((2, 3), {"perm": (1, 0)}), ((2, 3, 4), {"perm": (2, 0, 1)})),
    doc="Permute the dimensions.",
    grad_name="Permute",
)


register_view(
    transpose,
    lambda x, y, params: transpose(y, perm=tuple(int(k) for k in np.argsort(params["perm"]))),
    lambda shape, strides, params: tuple(strides[k] for k in params["perm"]),
)


def _window(starts: Any, sizes: Any, steps: Any) -> tuple[slice, ...]:
    """NumPy slices of a start, a size and a step for each dimension."""
    out = []
    for start, size, step in zip(starts, sizes, steps, strict=True):
        stop = start + size * step
        out.append(slice(start, stop if stop >= 0 else None, step))
    return tuple(out)


def _pad(x: Any, shape: Any, starts: Any, steps: Any) -> Any:
    out = np.zeros(shape, x.dtype)
    if x.size:
        out[_window(starts, x.shape, steps)] = x
    return out


def _irregular_pad(params: dict[str, Any], shape: tuple[int, ...]) -> bool:
    """Whether elements land with gaps, so that no index of the result gives theirs."""
    return any(step != 1 and n != 1 for step, n in zip(params["steps"], shape, strict=True))


def _pad_parts(xs: Any, out: Aval, params: dict[str, Any]) -> list[Part]:
    whole = (0,) * out.ndim, (1,) * out.ndim
    return [(None, *whole), (0, params["starts"], params["steps"])]


slice_ = linear(
    "slice",
    aval=lambda x, starts, sizes, steps: make_aval(sizes, x.dtype),
    adjoint=lambda ct, x, starts, sizes, steps: pad(ct, shape=x.shape, starts=starts, steps=steps),
    evaluate=lambda x, starts, sizes, steps: x[_window(starts, sizes, steps)],
    lower=View("slice", begins="starts"),
    cases=(
        ((5,), {"starts": (1,), "sizes": (3,), "steps": (1,)}),
        ((6,), {"starts": (5,), "sizes": (3,), "steps": (-2,)}),
        ((4, 3), {"starts": (0, 2), "sizes": (2, 3), "steps": (2, -1)}),
    ),
    doc="A regular window: start, size and step for each dimension.",
)

pad = linear(
    "pad",
    aval=lambda x, shape, starts, steps: make_aval(shape, x.dtype),
    adjoint=lambda ct, x, shape, starts, steps: slice_(
        ct, starts=starts, sizes=x.shape, steps=steps
    ),
    evaluate=_pad,
    lower=View("pad", False, _irregular_pad, Assembly(_pad_parts)),
    cases=(
        ((3,), {"shape": (5,), "starts": (1,), "steps": (1,)}),
        ((3,), {"shape": (6,), "starts": (5,), "steps": (-2,)}),
        ((2, 3), {"shape": (4, 3), "starts": (0, 2), "steps": (2, -1)}),
    ),
    doc="Zeros, with the operand in a regular window: the adjoint of slice.",
)


def _concatenate_aval(*xs: Aval, axis: int) -> Aval:
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    return make_aval(tuple(shape), xs[0].dtype)


def _concatenate_adjoint(ct: Node, *xs: Aval, axis: int) -> list[Node]:
    starts = [0] * ct.ndim
    out = []
    for x in xs:
        out.append(slice_(ct, starts=tuple(starts), sizes=x.shape, steps=(1,) * ct.ndim))
        starts[axis] += x.shape[axis]
    return out


def _concatenate_parts(xs: Any, out: Aval, params: dict[str, Any]) -> list[Part]:
    parts: list[Part] = []
    starts = [0] * out.ndim
    for k, x in enumerate(xs):
        parts.append((k, tuple(starts), (1,) * out.ndim))
        starts[params["axis"]] += x.shape[params["axis"]]
    return parts


concatenate = linear(
    "concatenate",
    aval=_concatenate_aval,
    adjoint=_concatenate_adjoint,
    evaluate=lambda *xs, axis: np.concatenate(xs, axis),
    lower=Assembly(_concatenate_parts),
    cases=(((2, 3), (1, 3), {"axis": 0}), ((2, 3), (2, 2), {"axis": 1})),
    doc="Join along an axis.",
    grad_name="Cat",
)

sum_ = reduction(
    "sum",
    evaluate=total,
    combine=Combine("{a} + {b}", "0", "fiuc"),
    algebra=TOTAL,
    vjp=lambda ct, y, x, axis, keepdims: expand(ct, x.aval, axis),
    jvp=lambda t, y, x, axis, keepdims: sum_(t, axis=axis, keepdims=keepdims),
    dtype=lambda d: np.add.reduce(np.empty(0, d)).dtype,
    doc="Sum over axes.",
)


def _update_prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    x, v = xs
    v = v if v.dtype == x.dtype else cast(v, dtype=x.dtype)
    return (x, v), x.aval, ()


def _update_slice(x: Any, v: Any, starts: Any, steps: Any) -> Any:
    out = np.array(x)  # not x.copy(), which leaves a scalar that nobody can assign to
    if v.size:
        out[_window(starts, v.shape, steps)] = v
    return out


def _update_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, Any]:
    x, v = xs
    ct = materialize(ct, y.aval)
    hole = full(0.0, shape=v.shape, dtype=x.dtype)
    return (
        update_slice(ct, hole, **params) if wants[0] else None,
        slice_(ct, starts=params["starts"], sizes=v.shape, steps=params["steps"]),
    )


def _update_jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Node:
    tx, tv = (
        materialize(0.0 if t is None else t, x.aval) for t, x in zip(tangents, xs, strict=True)
    )
    return update_slice(tx, tv, **params)


def _update_parts(xs: Any, out: Aval, params: dict[str, Any]) -> list[Part]:
    return [(0, (0,) * out.ndim, (1,) * out.ndim), (1, params["starts"], params["steps"])]


update_slice = opaque(
    "update_slice",
    batch=SHIFTED,
    prepare=_update_prepare,
    evaluate=_update_slice,
    vjp=_update_vjp,
    jvp=_update_jvp,
    lower=Assembly(_update_parts),
    cases=(
        ((5,), (3,), {"starts": (1,), "steps": (1,)}),
        ((4, 3), (2, 3), {"starts": (0, 2), "steps": (2, -1)}),
    ),
    doc="The first operand with a regular window replaced by the second.",
    grad_name="CopySlices",
)

register_view(
    slice_,
    lambda x, y, params: update_slice(x, y, starts=params["starts"], steps=params["steps"]),
    lambda shape, strides, params: tuple(
        s * step for s, step in zip(strides, params["steps"], strict=True)
    ),
    reads=True,
)

detach = Primitive(
    name="detach",
    kind="elementwise",
    evaluate=lambda x: x,
    prepare=lambda xs, params: (xs, make_aval(xs[0].shape, xs[0].dtype), (xs[0].dtype,)),
    rules=Rules(batch=ALIGNED),
    lower=Expression("{x}", "fiub"),
    grad_name="Detach",
    doc="The operand as a constant: no derivative passes.",
    alias=True,
    structural=True,
)

# The only operation whose result lies elsewhere than its operand. A cotangent goes back: nobody asked for it.
move = Primitive(
    name="move",
    kind="elementwise",
    evaluate=lambda x, device, back=False: x,
    prepare=lambda xs, params: (xs, xs[0].aval, (xs[0].dtype,)),
    rules=Rules(
        lambda ct, y, xs, params, wants: (materialize(ct, xs[0].aval),),
        lambda tangents, y, xs, params: move(tangents[0], device=params["device"]),
        ALIGNED,
    ),
    lower=Expression("{x}", "fiub"),
    cases=({"device": None},),
    grad_name="ToCopy",
    doc="The same elements on another device; the cotangent comes back.",
    alias=True,
    structural=True,
)

ports.move = lambda node, device: move(node, device=device)

# What is written while nothing is recorded changes the value alone: the derivative stays that of
# what was there, as it does in PyTorch.
graft = Primitive(
    name="graft",
    kind="opaque",
    evaluate=lambda value, history: value,
    prepare=lambda xs, params: (xs, xs[0].aval, ()),
    rules=Rules(
        lambda ct, y, xs, params, wants: (None, ct),
        lambda tangents, y, xs, params: tangents[1],
        LEADING,
    ),
    lower=Host(),
    grad_name="",
    doc="The value of the first operand with the history of the second.",
    registered=False,  # its derivative is not that of its value, which tests of all others compare
    alias=True,
    structural=True,
)
