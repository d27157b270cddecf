"""The functional front: ``grad``, ``value_and_grad``, ``jacobian``, ``hessian`` and ``jit``.

Arrays in give arrays out; tensors in give tensors out, connected to the graph of the tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.enclosing import belongs_outside, finished
from nbgrad.api.jit import jit
from nbgrad.api.transformed import transform
from nbgrad.autograd.functional import (
    _rows,
    by_columns,
    columns_or_none,
    differentiable_copy,
)
from nbgrad.core.foreign import numbers_of
from nbgrad.core.linearize import Capture, capture
from nbgrad.core.modes import lines, modes
from nbgrad.core.node import Node, constant, leaf_node, next_sequence
from nbgrad.engine.backward import run_backward
from nbgrad.engine.demand import demand, looks
from nbgrad.engine.jacobians import jacobian_values
from nbgrad.engine.passes import again, key_of_pass, learn, operands_of_pass
from nbgrad.errors import (
    COMPLEX_OUTPUT,
    NOT_AN_ARRAY,
    NOT_HOLOMORPHIC,
    AutogradError,
    ConcretizationError,
    ForeignError,
)
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.kinds.names import materialize
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.elements import composite
from nbgrad.vocabulary.shapes import as_node

Func = Callable[..., Any]


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


def _call(
    f: Func,
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


def _output(y: Any, name: str) -> Tensor:
    if isinstance(y, (list, tuple)):
        raise TypeError(
            f"{name}: the function returned a {type(y).__name__}; it must return one array: "
            "return nbgrad.numpy.array([...]), or stack or concatenate the parts"
        )
    return y if isinstance(y, Tensor) else Tensor(as_node(y))


def _scalar(y: Any, name: str, holomorphic: bool) -> Tensor:
    out = _output(y, name)
    if out._node.size != 1 or out.ndim:
        raise TypeError(
            f"{name} only applies to scalar-output functions; the output has shape {out.shape}. "
            "Reduce it, for example with .sum(), or use nbgrad.jacobian."
        )
    _check_kind(out, name, holomorphic)
    return out


def _check_kind(out: Tensor, name: str, holomorphic: bool) -> None:
    if holomorphic and out.dtype.kind != "c":
        raise TypeError(NOT_HOLOMORPHIC.format(name=name, what="outputs", dtype=out.dtype))
    if not holomorphic and out.dtype.kind == "c":
        raise TypeError(COMPLEX_OUTPUT.format(name=name, dtype=out.dtype))
    if not out._node.aval.inexact:
        raise TypeError(f"{name} needs a real floating-point output, not {out.dtype}")


@transform
def value_and_grad(
    f: Func, argnums: int | Sequence[int] = 0, *, holomorphic: bool = False
) -> Func:
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
    positions = _positions(argnums)

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        tensors, y = _call(f, "value_and_grad", positions, args, kwargs, holomorphic)
        out = _scalar(y, "value_and_grad", holomorphic)
        nodes = [t._node for t in tensors]
        cap = capture([out._node], differentiate=True)
        outer = modes.grad and belongs_outside(cap, nodes)
        found = _gradient_nodes(cap, out._node, nodes, outer)
        if outer:
            finished.update(nodes)
        if holomorphic:  # a cotangent of 1 gives the conjugate of the derivative
            found = [arithmetic.conjugate(g) for g in found]
        value, *gradients = _returned(
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


@transform
def grad(f: Func, argnums: int | Sequence[int] = 0, *, holomorphic: bool = False) -> Func:
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
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


@transform
def jacobian(f: Func, argnums: int | Sequence[int] = 0, *, holomorphic: bool = False) -> Func:
    """Return the function that computes the Jacobian of ``f`` by one argument, or by several.

    Forward mode where the arguments have no more elements than the result, else reverse mode. The
    rows of a real result by a complex argument are gradients as :func:`grad` gives them.

    Parameters
    ----------
    f : callable
        Returns one array.
    argnums : int or sequence of int
        Positional arguments to differentiate by.
    holomorphic : bool
        ``f`` is an analytic function of a complex argument: the Jacobian has its derivatives.

    Returns
    -------
    callable
        Its result has the shape ``output.shape + input.shape``; if *argnums* is a sequence, it is
        a tuple with such an array for each of them.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    >>> ng.jacobian(lambda x, y: x * y, argnums=(0, 1))(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    (array([[3., 0.],
           [0., 4.]]), array([[1., 0.],
           [0., 2.]]))
    """
    positions = _positions(argnums)
    single = isinstance(argnums, int)

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        xs, y = _call(f, "jacobian", positions, args, kwargs, holomorphic)
        out = _output(y, "jacobian")
        if holomorphic:
            _check_kind(out, "jacobian", holomorphic)
        (blocks,) = _blocks([out], xs, holomorphic, (args, kwargs))
        return blocks[0] if single else tuple(blocks)

    return differentiated


def _positions(argnums: int | Sequence[int]) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


def _blocks(
    outs: list[Tensor], xs: list[Tensor], holomorphic: bool, given: tuple[Any, Any]
) -> list[list[Any]]:
    """The Jacobian of each of *outs* by each of *xs*, as the caller is to see them."""
    nodes = [x._node for x in xs]
    tracked = [out for out in outs if out.requires_grad]
    cap = capture([out._node for out in tracked], differentiate=True)
    outer = modes.grad and belongs_outside(cap, nodes)
    found = iter(_jacobian(cap, tracked, xs, outer, holomorphic) if tracked else ())
    blocks = [next(found) if out.requires_grad else _zeros(out, xs) for out in outs]
    if outer:
        finished.update(nodes)
    flat = iter(_returned([b._node for row in blocks for b in row], outer, given))
    return [[next(flat) for _ in row] for row in blocks]


def _zeros(out: Tensor, xs: list[Tensor]) -> list[Tensor]:
    return [Tensor(leaf_node(np.zeros(out.shape + x.shape, out.dtype))) for x in xs]


def _jacobian(
    cap: Capture, outs: list[Tensor], xs: list[Tensor], outer: bool, holomorphic: bool
) -> list[list[Tensor]]:
    if holomorphic:
        by_column = sum(x._node.size for x in xs) <= sum(out._node.size for out in outs)
    else:
        by_column = by_columns(outs, xs, "jacobian")
    if not outer:
        nodes = [x._node for x in xs]
        values = jacobian_values(cap, [o._node for o in outs], nodes, by_column, holomorphic)
        if values is not None:
            blocks = iter(Tensor(leaf_node(value)) for value in values)
            return [[next(blocks) for _ in xs] for _ in outs]
    before, modes.grad = modes.grad, outer
    try:
        found = _recorded_columns(cap, outs, xs) if by_column else None
        if found is not None:
            return found
        rows = [_rows(out, xs, outer) for out in outs]
        if not holomorphic:
            return rows
        return [[Tensor(arithmetic.conjugate(b._node)) for b in row] for row in rows]
    finally:
        modes.grad = before


def _recorded_columns(
    cap: Capture, outs: list[Tensor], xs: list[Tensor]
) -> list[list[Tensor]] | None:
    """The Jacobian as nodes: by the rules, or as for the last graph like this one."""
    operands = operands_of_pass(cap, ())
    places = [cap.index.get(x._node, len(cap.nodes)) for x in xs]
    key = "columns", modes.grad, key_of_pass(cap, (), places, False)
    found = None if lines.on or operands is None else again(key, operands)
    if found is not None:
        blocks = iter(found[1])
        return [[Tensor(next(blocks)) for _ in xs] for _ in outs]
    looked, start = looks.count, next_sequence()
    columns = columns_or_none(outs, xs)
    if columns is not None and operands is not None and looks.count == looked:
        learn(key, operands, (), [block._node for row in columns for block in row], start)
    return columns


@transform
def hessian(f: Func, argnums: int | Sequence[int] = 0, *, holomorphic: bool = False) -> Func:
    """Return the function that computes the Hessian of a scalar ``f`` by one argument, or by several.

    Parameters are those of :func:`jacobian`; by a complex argument it needs ``holomorphic=True``.
    By several, the result is a tuple of tuples: a block for each pair of arguments.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    >>> ng.hessian(lambda x, y: x * y**2, argnums=(0, 1))(1.0, 2.0)[0][1].item()
    4.0
    """
    positions = _positions(argnums)
    gradient = grad(f, positions, holomorphic=holomorphic)

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        xs, gradients = _call(gradient, "hessian", positions, args, kwargs, holomorphic)
        outs = [_output(g, "hessian") for g in gradients]
        blocks = _blocks(outs, xs, holomorphic, (args, kwargs))
        return blocks[0][0] if isinstance(argnums, int) else tuple(map(tuple, blocks))

    return differentiated


__all__ = ["grad", "hessian", "jacobian", "jit", "value_and_grad"]
