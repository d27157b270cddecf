"""``grad`` and ``value_and_grad``: functions that compute derivatives of functions.

Arrays in give arrays out; tensors in give tensors out, connected to the graph of the tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.api.enclosing import belongs_outside, finished
from nbgrad.api.tracked import Tracked, as_asked, aux_as_asked, call_tracked, scalar_of
from nbgrad.api.transformed import P, transform
from nbgrad.api.wanted import Wanted, split_aux
from nbgrad.core.linearize import Capture, capture
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.engine.backward import run_backward
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.tensor import Tensor


@transform
def value_and_grad(
    f: Callable[P, Any],
    argnums: int | Sequence[int] | None = None,
    *,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[P, tuple[Any, Any]]:
    """Return a function that computes ``f`` and its gradient together.

    The gradient by a complex argument follows PyTorch: ``dL/d(real) + 1j dL/d(imag)``, the
    direction of steepest ascent.

    Parameters
    ----------
    f : callable
        Returns a real scalar; takes arrays, tensors or floats, or data nested of them: tuples,
        lists, dictionaries, dataclasses and what ``nbgrad.tree.register`` was told of.
    argnums : int or sequence of int, optional
        Positional arguments to differentiate by, counted from the end if negative: the first one,
        unless arguments are named.
    argnames : str or sequence of str, optional
        Names of arguments to differentiate by, passed by position or by keyword.
    has_aux : bool
        ``f`` returns a pair: the scalar, and anything else, which is handed out as it is.
    holomorphic : bool
        ``f`` is an analytic function of complex arguments, and its complex derivative is wanted.

    Returns
    -------
    callable
        ``(value, gradient)``, with *has_aux* ``((value, aux), gradient)``. The gradient is nested as
        the argument is; by a sequence of *argnums* it is a tuple, by a sequence of *argnames* a
        dictionary, by both a pair of these. Arrays in give NumPy results, of each argument's shape
        and dtype; a tensor among them gives tensors.

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
    >>> ng.grad(lambda p: (p["w"] * p["x"]).sum())({"w": np.array([1.0]), "x": np.array([3.0])})
    {'w': array([3.]), 'x': array([1.])}
    """
    return _differentiated("value_and_grad", f, argnums, argnames, has_aux, holomorphic)


def _differentiated(
    name: str,
    f: Callable[P, Any],
    argnums: int | Sequence[int] | None,
    argnames: str | Sequence[str] | None,
    has_aux: bool,
    holomorphic: bool,
) -> Callable[P, tuple[Any, Any]]:
    """``value_and_grad`` of *f*, under the *name* that the user called."""
    wanted = Wanted(argnums, argnames, name)

    @functools.wraps(f)
    def differentiated(*args: P.args, **kwargs: P.kwargs) -> tuple[Any, Any]:
        run = call_tracked(f, wanted, args, kwargs, holomorphic, finished=not has_aux)
        y, aux = split_aux(run.returned, has_aux, name)
        if has_aux:
            aux = aux_as_asked(aux, run)
        value, *gradients = _gradients(scalar_of(y, name, holomorphic), run, holomorphic)
        return ((value, aux) if has_aux else value), run.nest(gradients)

    return differentiated


def _gradients(out: Tensor, run: Tracked, holomorphic: bool) -> list[Any]:
    """The value of *out*, and its gradient by each of the tensors of a call."""
    nodes = run.nodes
    cap = capture([out._node], differentiate=True)
    outer = modes.grad and belongs_outside(cap, [out._node], nodes)
    found = _gradient_nodes(cap, out._node, nodes, outer)
    if outer:
        finished.update(nodes)
    if holomorphic:  # a cotangent of 1 gives the conjugate of the derivative
        found = [arithmetic.conjugate(g) for g in found]
    return as_asked([(out if outer else out.detach())._node, *found], outer, run.given)


def _gradient_nodes(cap: Capture, out: Node, nodes: list[Node], outer: bool) -> list[Node]:
    if not out.requires_grad or not nodes:
        return [materialize(0.0, n.aval) for n in nodes]
    found = dict(
        run_backward(
            [out], [None], inputs=nodes, retain_graph=outer, create_graph=outer, captured=cap
        )
    )
    return [found[n] if n in found else materialize(0.0, n.aval) for n in nodes]


@transform
def grad(
    f: Callable[P, Any],
    argnums: int | Sequence[int] | None = None,
    *,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[P, Any]:
    """Return the function that computes the gradient of ``f``.

    Parameters, results and errors are those of :func:`value_and_grad`, without the value: with
    *has_aux* the result is ``(gradient, aux)``.

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
    both = _differentiated("grad", f, argnums, argnames, has_aux, holomorphic)

    @functools.wraps(f)
    def gradient(*args: P.args, **kwargs: P.kwargs) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient
