"""gradcheck and gradgradcheck: analytic derivatives against central differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.node import leaf_node
from nbgrad.errors import GradcheckError
from nbgrad.grads import grad
from nbgrad.tensor import Tensor

Array = np.ndarray[Any, Any]


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _rebuilt(inputs: Sequence[Any], k: int, value: Array) -> list[Any]:
    """The inputs with the k-th replaced by *value*."""
    return [
        Tensor(leaf_node(np.array(value, order="C"))).requires_grad_() if j == k else x
        for j, x in enumerate(inputs)
    ]


def _units(array: Array) -> tuple[complex, ...]:
    """Directions of one element: a complex one is a point of the plane."""
    return (1.0, 1j) if array.dtype.kind == "c" else (1.0,)


def _as_reals(array: Array) -> Array:
    flat = np.array(array).reshape(-1)
    return np.concatenate([flat.real, flat.imag]) if flat.dtype.kind == "c" else flat


def numerical_jacobian(
    func: Callable[..., Any], inputs: Sequence[Any], k: int, eps: float
) -> list[Array]:
    """Central differences of each output by the k-th input: matrices (input, output).

    Of a complex output the real and imaginary parts are two; by a complex input, the gradient of
    each is its slope along the real axis plus 1j times that along the imaginary one.
    """
    base = np.array(inputs[k].detach().numpy())
    columns: list[list[Array]] = []
    for position in np.ndindex(base.shape):
        slopes: list[Any] = []
        for unit in _units(base):
            moved = []
            for step in (eps, -eps):
                value = base.copy()
                value[position] += step * unit
                outs = _as_tuple(func(*_rebuilt(inputs, k, value)))
                moved.append([_as_reals(o.detach().numpy()) for o in outs])
            found = [unit * ((a - b) / (2 * eps)) for a, b in zip(*moved, strict=True)]
            slopes = [a + b for a, b in zip(slopes, found, strict=True)] if slopes else found
        columns.append(slopes)
    sizes = [o._node.size * len(_units(o)) for o in _as_tuple(func(*inputs))]
    return [
        np.array([c[j] for c in columns]).reshape(base.size, size) for j, size in enumerate(sizes)
    ]


def analytical_jacobian(func: Callable[..., Any], inputs: Sequence[Any], k: int) -> list[Array]:
    """The same matrices by one backward pass for each output element."""
    result = []
    for out in _as_tuple(func(*inputs)):
        rows = []
        for unit, position in itertools.product(_units(out), np.ndindex(out.shape)):
            seed = np.zeros(out.shape, out.dtype)
            seed[position] = unit
            zero = np.zeros(inputs[k].shape)
            if out.requires_grad:
                (g,) = grad(out, inputs[k], seed, retain_graph=True, allow_unused=True)
                rows.append(zero if g is None else g.detach().numpy())
            else:
                rows.append(zero)
        shape = (len(rows), inputs[k]._node.size)
        result.append(np.array([r.reshape(-1) for r in rows]).reshape(shape).T)
    return result


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Check the gradients of *func* against central differences.

    Parameters
    ----------
    func : callable
        Takes tensors, returns a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
        Those that require grad are checked; use float64.
    eps : float
        Step of the differences.
    atol, rtol : float
        Tolerances of ``numpy.allclose``.
    raise_exception : bool
        Raise on a mismatch; otherwise return False.

    Returns
    -------
    bool
        True if all gradients agree.

    Raises
    ------
    GradcheckError
        With both Jacobians, at the first mismatch.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.autograd.gradcheck(ng.sin, ng.tensor([0.5, 1.0], requires_grad=True))
    True
    """
    given = _as_tuple(inputs)
    if not any(isinstance(x, Tensor) and x.requires_grad for x in given):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none does"
        )
    for k, x in enumerate(given):
        if not (isinstance(x, Tensor) and x.requires_grad):
            continue
        numeric = numerical_jacobian(func, given, k, eps)
        analytic = analytical_jacobian(func, given, k)
        for j, (n, a) in enumerate(zip(numeric, analytic, strict=True)):
            if not np.allclose(a, n, rtol=rtol, atol=atol, equal_nan=True):
                if not raise_exception:
                    return False
                raise GradcheckError(
                    f"Jacobian mismatch for output {j} with respect to input {k},\n"
                    f"numerical: {n}\nanalytical: {a}"
                )
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Check second derivatives: :func:`gradcheck` of the gradients of *func*.

    Parameters are those of gradcheck; *grad_outputs* are the cotangents (random, seeded).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.autograd.gradgradcheck(ng.sin, ng.tensor([0.5, 1.0], requires_grad=True))
    True
    """
    given = _as_tuple(inputs)
    outs = _as_tuple(func(*given))
    rng = np.random.default_rng(0)
    if grad_outputs is None:
        seeds = tuple(
            Tensor(leaf_node(np.array(rng.standard_normal(o.shape), o.dtype))).requires_grad_()
            for o in outs
        )
    else:
        seeds = _as_tuple(grad_outputs)

    def gradients(*args: Any) -> Any:
        xs, cts = args[: len(given)], args[len(given) :]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        made = _as_tuple(func(*xs))
        results = [o for o in made if o.requires_grad]
        seeds = [ct for o, ct in zip(made, cts, strict=True) if o.requires_grad]
        return grad(results, wanted, seeds, create_graph=True, materialize_grads=True)

    return gradcheck(gradients, (*given, *seeds), eps, atol, rtol, raise_exception)
