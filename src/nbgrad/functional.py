"""The functional front: ``grad``, ``value_and_grad``, ``jacobian``, ``hessian`` and ``jit``.

Arrays in give arrays out; tensors in give tensors out, connected to the graph of the tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.autograd.functional import _columns, _rows, differentiable_copy
from nbgrad.backward import run_backward
from nbgrad.core.linearize import capture
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, constant, leaf_node
from nbgrad.engine import demand
from nbgrad.errors import ConcretizationError
from nbgrad.jit import jit
from nbgrad.ops.kinds import materialize
from nbgrad.tensor import Tensor

Func = Callable[..., Any]


def _argument(x: Any, name: str, position: int) -> Tensor:
    """The node to differentiate by for argument *x*."""
    node = x._node if isinstance(x, Tensor) else constant(x)
    if not node.aval.inexact:
        raise TypeError(
            f"{name}: argument {position} is {node.dtype}; differentiation needs real or complex "
            "floating-point input. Write 3.0 instead of 3, or cast with .astype(float)."
        )
    return Tensor(differentiable_copy(node, connected=True))


def _call(
    f: Func, name: str, argnums: tuple[int, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Tensor], Any]:
    """Run *f* with the arguments of *argnums* made differentiable."""
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
            given[k] = _argument(args[k], name, k)
        return [given[k] for k in argnums], f(*given, **kwargs)
    finally:
        modes.grad = before
        modes.transforms -= 1


def _scalar(y: Any, name: str) -> Tensor:
    out = y if isinstance(y, Tensor) else Tensor(constant(y))
    if out._node.size != 1 or out.ndim:
        raise TypeError(
            f"{name} only applies to scalar-output functions; the output has shape {out.shape}. "
            "Reduce it, for example with .sum(), or use nbgrad.jacobian."
        )
    if out.dtype.kind != "f":
        raise TypeError(f"{name} needs a real floating-point output, not {out.dtype}")
    return out


def _outer(y: Node, inner: Sequence[Node]) -> bool:
    """Whether the result must stay on a graph: it depends on tracked or traced values outside."""
    cap = capture([y], differentiate=True)
    own = set(inner)
    if any(leaf.requires_grad and leaf not in own for leaf in cap.leaves):
        return True
    # A traced input to differentiate by is no leaf, but a recorded node that nothing leads to.
    return any(
        node.requires_grad and node not in own and not _tracked(operands)
        for node, operands in zip(cap.nodes, cap.operands, strict=True)
    )


def _tracked(operands: Sequence[Any]) -> bool:
    return any(x.__class__ is Node and x.requires_grad for x in operands)


def value_and_grad(f: Func, argnums: int | Sequence[int] = 0) -> Func:
    """Return a function that computes ``f`` and its gradient together.

    Parameters
    ----------
    f : callable
        Returns a real scalar; takes arrays, tensors or floats.
    argnums : int or sequence of int
        Positional arguments to differentiate by.

    Returns
    -------
    callable
        ``(value, gradient)``; the gradient is a tuple if *argnums* is a sequence. Arrays in give
        NumPy results, of each argument's shape and dtype; a tensor among them gives tensors.

    Raises
    ------
    TypeError
        When called with integers to differentiate by, or if the output is not a scalar.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> value, gradient = ng.value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    >>> float(value), gradient
    (5.0, array([2., 4.]))
    """
    single = isinstance(argnums, int)
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        tensors, y = _call(f, "value_and_grad", positions, args, kwargs)
        out = _scalar(y, "value_and_grad")
        nodes = [t._node for t in tensors]
        outer = modes.grad and _outer(out._node, nodes)
        found = _gradient_nodes(out._node, nodes, outer)
        value, *gradients = _returned(
            [(out if outer else out.detach())._node, *found], outer, (args, kwargs)
        )
        return value, (gradients[0] if single else tuple(gradients))

    return differentiated


def _gradient_nodes(out: Node, nodes: list[Node], outer: bool) -> list[Node]:
    if not out.requires_grad:
        return [materialize(0.0, n.aval) for n in nodes]
    wanted = list(dict.fromkeys(nodes))
    found = dict(
        run_backward([out], [None], inputs=wanted, retain_graph=outer, create_graph=outer)
    )
    return [found[n] if n in found else materialize(0.0, n.aval) for n in nodes]


def _returned(nodes: list[Node], outer: bool, given: tuple[Any, Any]) -> list[Any]:
    """Arrays; or tensors, if a tensor was given or the result belongs to an outer graph."""
    args, kwargs = given
    if not outer and not any(isinstance(a, Tensor) for a in (*args, *kwargs.values())):
        try:
            demand(nodes)
        except ConcretizationError:  # inside jit, of a closed-over argument
            return [Tensor(n) for n in nodes]
        return [n.value if n.ndim else n.value[()] for n in nodes]
    return [Tensor(n) for n in nodes]


def grad(f: Func, argnums: int | Sequence[int] = 0) -> Func:
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
    """
    both = value_and_grad(f, argnums)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def jacobian(f: Func, argnums: int = 0) -> Func:
    """Return the function that computes the Jacobian of ``f`` by one argument.

    Forward mode where the argument has no more elements than the result, else reverse mode.

    Parameters
    ----------
    f : callable
        Returns one array.
    argnums : int

    Returns
    -------
    callable
        Its result has the shape ``output.shape + input.shape``.

    Examples
    --------
    >>> import nbgrad as ng
    >>> import numpy as np
    >>> ng.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        xs, y = _call(f, "jacobian", (argnums,), args, kwargs)
        out = y if isinstance(y, Tensor) else Tensor(constant(y))
        outer = modes.grad and _outer(out._node, [xs[0]._node])
        if not out.requires_grad:
            found = Tensor(leaf_node(np.zeros(out.shape + xs[0].shape, out.dtype)))
        else:
            found = _jacobian(out, xs, outer)
        return _returned([found._node], outer, (args, kwargs))[0]

    return differentiated


def _jacobian(out: Tensor, xs: list[Tensor], outer: bool) -> Tensor:
    before, modes.grad = modes.grad, outer
    try:
        if xs[0]._node.size <= out._node.size:
            return _columns([out], xs)[0][0]
        return _rows(out, xs, outer)[0]
    finally:
        modes.grad = before


def hessian(f: Func, argnums: int = 0) -> Func:
    """Return the function that computes the Hessian of a scalar ``f`` by one argument.

    Examples
    --------
    >>> import nbgrad as ng
    >>> import numpy as np
    >>> ng.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums)


__all__ = ["grad", "hessian", "jacobian", "jit", "value_and_grad"]
