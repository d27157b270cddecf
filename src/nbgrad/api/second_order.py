"""Products with second derivatives, and gradients of functions that are not scalar."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.api.derivatives import Pass, check_pairs, directions, jvp, tangents_along, vjp
from nbgrad.api.grad import grad
from nbgrad.api.products import gradients_of
from nbgrad.api.tracked import as_asked, check_kind, output_of, scalar_of
from nbgrad.api.transformed import P, transform
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.reductions import plain


def hvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
) -> Any:
    """Return the product of the Hessian of ``f`` with a vector, by forward over reverse mode.

    It costs a small multiple of a gradient, whatever the size of the Hessian, which is not built.

    Parameters
    ----------
    f : callable
        Returns a real scalar; takes arrays, or data nested of them.
    primals, tangents : tuple or list
        Positional arguments, and a vector for each of them, nested as it is.
    argnums, argnames
        To which arguments *tangents* belong; to all, unless they are given.
    has_aux : bool
        ``f`` returns a pair; the result is ``(product, aux)``.

    Returns
    -------
    object
        A tuple with the product for each argument; of a function of one argument, or by a single
        number or name, that product. For several arguments the Hessian is that by all of them.

    Raises
    ------
    TypeError, ValueError
        As of :func:`jvp`; or if the result of ``f`` is no real scalar.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.hvp(lambda x: (x**3).sum(), (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
    array([6., 0.])
    """
    every = argnums is None and argnames is None
    check_pairs("hvp", primals, tangents, every)
    chosen = 0 if every and len(primals) == 1 else argnums
    done = Pass(f, "hvp", primals, chosen, argnames, has_aux)
    run = done.run
    run.given = ((*primals, *tangents), {})
    vs = directions(run, tangents, "hvp")
    scalar = scalar_of(run.returned[0] if has_aux else run.returned, "hvp", False)
    if not scalar.requires_grad or not run.tensors:
        found = [materialize(0.0, n.aval) for n in run.nodes]
    else:
        fill = [Tensor(materialize(1.0, scalar._node.aval))]
        done.outs = gradients_of([scalar], run.tensors, fill, True)
        found = tangents_along(done, vs)
    product = run.nest(as_asked(found, done.outer, run.given))
    return (product, *done.aux) if has_aux else product


def vhp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    cotangents: Sequence[Any],
    *,
    argnums: int | Sequence[int] | None = None,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
) -> Any:
    """Return the product of a vector with the Hessian of ``f``, which is symmetric: see :func:`hvp`.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.vhp(lambda x: (x**3).sum(), (np.array([1.0, 2.0]),), (np.array([1.0, 0.0]),))
    array([6., 0.])
    """
    options: Any = {"argnums": argnums, "argnames": argnames, "has_aux": has_aux}
    return hvp(f, primals, cotangents, **options)


def ggn(
    f: Callable[..., Any],
    loss: Callable[[Any], Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
) -> Any:
    """Return the product of the generalized Gauss-Newton matrix of ``loss(f(...))`` with a vector.

    That is ``J^T H J v``, of the Jacobian ``J`` of ``f`` and the Hessian ``H`` of ``loss`` at the
    result: the Hessian but for the curvature of ``f``, and positive semidefinite where ``loss`` is
    convex.

    Parameters
    ----------
    f : callable
        Returns arrays, or data nested of them.
    loss : callable
        Takes the result of ``f``, returns a real scalar.
    primals, tangents : tuple or list
        Arguments of ``f``, and a vector for each of them, nested as it is.

    Returns
    -------
    object
        A tuple with the product for each argument; of one argument that product.

    Raises
    ------
    TypeError, ValueError
        As of :func:`hvp`.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> squares = lambda r: 0.5 * (r * r).sum()
    >>> ng.ggn(lambda x: x**2, squares, (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    array([ 4., 16.])
    """
    out, tangent = jvp(f, primals, tangents)
    curved = hvp(loss, (out,), (tangent,))
    found = vjp(f, *primals)[1](curved)
    return found[0] if len(primals) == 1 else found


@transform
def elementwise_grad(
    f: Callable[P, Any],
    argnums: int | Sequence[int] | None = None,
    *,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[P, Any]:
    """Return the derivative of a function that maps each element on its own.

    Parameters
    ----------
    f : callable
        Returns an array whose elements each depend on one element of an argument, as those of
        ``np.sin`` do. Where one depends on several, their derivatives are added: that is the
        gradient of the sum of the result.
    argnums, argnames, has_aux, holomorphic
        As of :func:`grad`.

    Returns
    -------
    callable
        Its result has the shape of the argument.

    Raises
    ------
    TypeError
        As of :func:`grad`, but the result of ``f`` may have any shape.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.elementwise_grad(lambda x: x**3)(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """

    @functools.wraps(f)
    def total(*args: Any, **kwargs: Any) -> Any:
        y = f(*args, **kwargs)
        aux: tuple[Any, ...] = ()
        if has_aux and isinstance(y, (tuple, list)) and len(y) == 2:
            y, *rest = y
            aux = tuple(rest)
        elif has_aux:
            return y  # which grad refuses
        out = output_of(y, "elementwise_grad")
        check_kind(out, "elementwise_grad", holomorphic)
        added = Tensor(plain.sum(out._node)) if out.ndim else out
        return (added, *aux) if has_aux else added

    options: Any = {"argnames": argnames, "has_aux": has_aux, "holomorphic": holomorphic}
    return grad(total, argnums, **options)


@transform
def holomorphic_grad(
    f: Callable[P, Any],
    argnums: int | Sequence[int] | None = None,
    *,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
) -> Callable[P, Any]:
    """Return the complex derivative of an analytic scalar function of complex arguments.

    Parameters and errors are those of :func:`grad` with ``holomorphic=True``.

    Examples
    --------
    >>> import nbgrad as ng
    >>> complex(ng.holomorphic_grad(lambda z: z**2)(1 + 2j))
    (2+4j)
    """
    return grad(f, argnums, argnames=argnames, has_aux=has_aux, holomorphic=True)


__all__ = ["elementwise_grad", "ggn", "holomorphic_grad", "hvp", "vhp"]
