"""``grad`` and ``value_and_grad``: functions that compute derivatives of functions.

Arrays in give arrays out; tensors in give tensors out, connected to the graph of the tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.enclosing import belongs_outside, finished
from nbgrad.api.products import differentiable_copy
from nbgrad.api.transformed import P, transform
from nbgrad.core.foreign import numbers_of
from nbgrad.core.linearize import Capture, capture
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, constant
from nbgrad.engine.backward import run_backward
from nbgrad.engine.demand import demand
from nbgrad.errors import (
    COMPLEX_OUTPUT,
    NOT_AN_ARRAY,
    NOT_HOLOMORPHIC,
    AutogradError,
    ConcretizationError,
    ForeignError,
)
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.elements import composite
from nbgrad.vocabulary.shapes import as_node


def _argument(x: Any, name: str, position: int, holomorphic: bool) -> Tensor:
    """The node to differentiate by for argument *x*."""
    try:
        node = x._node if isinstance(x, Tensor) else constant(numbers_of(x))
    except ForeignError:
        raise
    except (TypeError, ValueError):
        raise TypeError(
            NOT_AN_ARRAY.format(name=name, position=position, kind=type(x).__name__)
        ) from None
    if node.dtype.kind in "iu" and x.__class__ is not int:
        node = composite.astype(node, np.float64)  # SciPy's solvers start from lists of integers
    if not node.aval.inexact:
        raise TypeError(
            f"{name}: argument {position} is {node.dtype}; differentiation needs real or complex "
            "floating-point input. Write 3.0 instead of 3, or cast with .astype(float)."
        )
    if holomorphic and node.dtype.kind != "c":
        raise TypeError(NOT_HOLOMORPHIC.format(name=name, what="arguments", dtype=node.dtype))
    return Tensor(differentiable_copy(node, connected=True))


def call_tracked(
    f: Callable[..., Any],
    name: str,
    argnums: tuple[int, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    holomorphic: bool,
) -> tuple[list[Tensor], Any]:
    """Run *f* with the arguments of *argnums* made differentiable.

    The tensors returned are not those that *f* got, which it may write into.
    """
    for k in argnums:
        if not -len(args) <= k < len(args):
            raise TypeError(
                f"{name}: argnums contains {k}, but the function was called with {len(args)} "
                "positional arguments"
            )
    before, modes.grad = modes.grad, True
    modes.transforms += 1
    try:
        given = list(args)
        for k in argnums:
            given[k] = _argument(args[k], name, k, holomorphic)
        tensors = [Tensor(given[k]._node) for k in argnums]
        return tensors, f(*given, **kwargs)
    except ValueError as error:
        # NumPy's ``array[i] = tensor`` hides what __float__ said behind "with a sequence".
        if isinstance(error.__cause__, AutogradError):
            raise AutogradError(str(error.__cause__)) from error
        raise
    finally:
        modes.grad = before
        modes.transforms -= 1


def output_of(y: Any, name: str) -> Tensor:
    if isinstance(y, (list, tuple)):
        raise TypeError(
            f"{name}: the function returned a {type(y).__name__}; it must return one array: "
            "return nbgrad.numpy.array([...]), or stack or concatenate the parts"
        )
    return y if isinstance(y, Tensor) else Tensor(as_node(y))


def _scalar(y: Any, name: str, holomorphic: bool) -> Tensor:
    out = output_of(y, name)
    if out._node.size != 1 or out.ndim:
        raise TypeError(
            f"{name} only applies to scalar-output functions; the output has shape {out.shape}. "
            "Reduce it, for example with .sum(), or use nbgrad.jacobian."
        )
    check_kind(out, name, holomorphic)
    return out


def check_kind(out: Tensor, name: str, holomorphic: bool) -> None:
    if holomorphic and out.dtype.kind != "c":
        raise TypeError(NOT_HOLOMORPHIC.format(name=name, what="outputs", dtype=out.dtype))
    if not holomorphic and out.dtype.kind == "c":
        raise TypeError(COMPLEX_OUTPUT.format(name=name, dtype=out.dtype))
    if not out._node.aval.inexact:
        raise TypeError(f"{name} needs a real floating-point output, not {out.dtype}")


@transform
def value_and_grad(
    f: Callable[P, Any], argnums: int | Sequence[int] = 0, *, holomorphic: bool = False
) -> Callable[P, tuple[Any, Any]]:
    """Return a function that computes ``f`` and its gradient together.

    The gradient by a complex argument follows PyTorch: ``dL/d(real) + 1j dL/d(imag)``, the
    direction of steepest ascent.

    Parameters
    ----------
    f : callable
        Returns a real scalar; takes arrays, tensors or floats.
    argnums : int or sequence of int
        Positional arguments to differentiate by.
    holomorphic : bool
        ``f`` is an analytic function of complex arguments, and its complex derivative is wanted.

    Returns
    -------
    callable
        ``(value, gradient)``; the gradient is a tuple if *argnums* is a sequence. Arrays in give
        NumPy results, of each argument's shape and dtype; a tensor among them gives tensors.

    Raises
    ------
    TypeError
        When called with a Python integer or with booleans to differentiate by, or if the output is
        not a scalar. Arrays and lists of integers become float64.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> value, gradient = ng.value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    >>> float(value), gradient
    (5.0, array([2., 4.]))
    """
    single = isinstance(argnums, int)
    positions = positions_of(argnums)

    @functools.wraps(f)
    def differentiated(*args: P.args, **kwargs: P.kwargs) -> tuple[Any, Any]:
        tensors, y = call_tracked(f, "value_and_grad", positions, args, kwargs, holomorphic)
        out = _scalar(y, "value_and_grad", holomorphic)
        nodes = [t._node for t in tensors]
        cap = capture([out._node], differentiate=True)
        outer = modes.grad and belongs_outside(cap, nodes)
        found = _gradient_nodes(cap, out._node, nodes, outer)
        if outer:
            finished.update(nodes)
        if holomorphic:  # a cotangent of 1 gives the conjugate of the derivative
            found = [arithmetic.conjugate(g) for g in found]
        value, *gradients = as_asked(
            [(out if outer else out.detach())._node, *found], outer, (args, kwargs)
        )
        return value, (gradients[0] if single else tuple(gradients))

    return differentiated


def _gradient_nodes(cap: Capture, out: Node, nodes: list[Node], outer: bool) -> list[Node]:
    if not out.requires_grad:
        return [materialize(0.0, n.aval) for n in nodes]
    wanted = list(dict.fromkeys(nodes))
    found = dict(
        run_backward(
            [out], [None], inputs=wanted, retain_graph=outer, create_graph=outer, captured=cap
        )
    )
    return [found[n] if n in found else materialize(0.0, n.aval) for n in nodes]


def as_asked(nodes: list[Node], outer: bool, given: tuple[Any, Any]) -> list[Any]:
    """Arrays; or tensors, if a tensor was given or the result belongs to an outer graph."""
    args, kwargs = given
    if not outer and not any(isinstance(a, Tensor) for a in (*args, *kwargs.values())):
        try:
            demand(nodes)
        except ConcretizationError:  # inside jit, of a closed-over argument
            return [Tensor(n) for n in nodes]
        return [n.value if n.ndim else n.value[()] for n in nodes]
    return [Tensor(n) for n in nodes]


@transform
def grad(
    f: Callable[P, Any], argnums: int | Sequence[int] = 0, *, holomorphic: bool = False
) -> Callable[P, Any]:
    """Return the function that computes the gradient of ``f``.

    Parameters, results and errors are those of :func:`value_and_grad`, without the value.

    Examples
    --------
    >>> import nbgrad as ng
    >>> import numpy as np
    >>> float(ng.grad(np.sin)(0.0))
    1.0
    >>> float(ng.grad(ng.grad(lambda x: x**3))(2.0))
    12.0
    >>> complex(ng.grad(lambda z: z**2, holomorphic=True)(1 + 2j))
    (2+4j)
    """
    both = value_and_grad(f, argnums, holomorphic=holomorphic)

    @functools.wraps(f)
    def gradient(*args: P.args, **kwargs: P.kwargs) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def positions_of(argnums: int | Sequence[int]) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)
