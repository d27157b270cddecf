"""gradcheck and gradgradcheck: analytic derivatives against central differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.products import jvp
from nbgrad.config import configure
from nbgrad.core.memory import place
from nbgrad.core.node import leaf_node
from nbgrad.errors import GradcheckError
from nbgrad.tensors.creation import as_tensor
from nbgrad.tensors.gradients import grad
from nbgrad.tensors.tensor import Tensor

Array = np.ndarray[Any, Any]


def _as_tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _rebuilt(inputs: Sequence[Any], k: int, value: Array) -> list[Any]:
    """The inputs with the k-th replaced by *value*."""
    return [
        Tensor(leaf_node(place(np.array(value, order="C"), x._node.aval.device))).requires_grad_()
        if j == k
        else x
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


def forward_jacobian(func: Callable[..., Any], inputs: Sequence[Any], k: int) -> list[Array]:
    """The same matrices by one tangent for each input element."""
    xs = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    places = [j for j, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]

    def of_tracked(*given: Any) -> Any:
        args = list(inputs)
        for at, x in zip(places, given, strict=True):
            args[at] = x
        return tuple(_as_tuple(func(*args)))

    base = inputs[k].detach().numpy()
    columns: list[list[Array]] = []
    for position in np.ndindex(base.shape):
        slopes: list[Any] = []
        for unit in _units(base):
            directions = [np.zeros(x.shape, x.dtype) for x in xs]
            directions[places.index(k)][position] = unit
            vs = tuple(
                Tensor(leaf_node(place(d, x._node.aval.device)))
                for d, x in zip(directions, xs, strict=True)
            )
            outs = jvp(of_tracked, tuple(x.detach() for x in xs), vs)[1]
            found = [unit * _as_reals(o.detach().numpy()) for o in outs]
            slopes = [a + b for a, b in zip(slopes, found, strict=True)] if slopes else found
        columns.append(slopes)
    sizes = [o._node.size * len(_units(o)) for o in _as_tuple(func(*inputs))]
    return [
        np.array([c[j] for c in columns]).reshape(base.size, size) for j, size in enumerate(sizes)
    ]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    *,
    nondet_tol: float = 0.0,
    check_backward_ad: bool = True,
    check_forward_ad: bool = False,
    check_undefined_grad: bool = True,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    fast_mode: bool = False,
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
    nondet_tol : float
        How far two backward passes may differ.
    check_backward_ad, check_forward_ad : bool
        Which modes to check.
    check_undefined_grad : bool
        Each output is differentiated alone in any case, while the others have no gradient.
    check_batched_grad, check_batched_forward_grad : bool
        As in PyTorch; only False is available.
    fast_mode : bool
        Check one random direction of inputs and of outputs, instead of all elements.

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
    if not check_forward_ad and not check_backward_ad:
        raise AssertionError("Expected at least one of check_forward_ad and check_backward_ad")
    if check_batched_grad or check_batched_forward_grad:
        raise NotImplementedError(
            "gradcheck: batches are not checked here; compare nbgrad.vmap(f) with f of each row"
        )
    given: Sequence[Any] = _as_tuple(inputs)
    if not any(isinstance(x, Tensor) and x.requires_grad for x in given):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none does"
        )
    if fast_mode:
        func, given = _along(func, given)
    try:
        for k, x in enumerate(given):
            if isinstance(x, Tensor) and x.requires_grad:
                numeric = numerical_jacobian(func, given, k, eps)
                if check_backward_ad:
                    _check_backward(func, given, k, numeric, (rtol, atol), nondet_tol)
                if check_forward_ad:
                    found = forward_jacobian(func, given, k)
                    _compare(found, numeric, k, (rtol, atol), "computed with forward mode ")
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_backward(
    func: Callable[..., Any],
    given: Sequence[Any],
    k: int,
    numeric: Sequence[Array],
    tolerances: tuple[float, float],
    nondet_tol: float,
) -> None:
    analytic = analytical_jacobian(func, given, k)
    for j, (out, n) in enumerate(zip(_as_tuple(func(*given)), numeric, strict=True)):
        if not out.requires_grad and not np.allclose(n, 0, rtol=0, atol=tolerances[1]):
            raise GradcheckError(
                "Numerical gradient for function expected to be zero: output "
                f"{j} does not require grad, but depends on input {k}\nnumerical: {n}"
            )
    for j, out in enumerate(_as_tuple(func(*given))):
        if out.requires_grad:
            seed = np.ones(out.shape, out.dtype)
            # Both by the references: the first pass computes what the second finds computed, and
            # compiled, or hot in between, it rounds otherwise.
            with configure(tier="reference"):
                a, b = (
                    found.detach().numpy()
                    for _ in range(2)
                    for found in grad(
                        out, given[k], seed, retain_graph=True, materialize_grads=True
                    )
                )
            if not np.allclose(a, b, rtol=0, atol=nondet_tol, equal_nan=True):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and "
                    "grad_output multiple times gives different values. They are those of output "
                    f"{j} with respect to input {k}; the tolerance for nondeterminism was "
                    f"{nondet_tol}."
                )
    _compare(analytic, numeric, k, tolerances, "")


def _compare(
    analytic: Sequence[Array],
    numeric: Sequence[Array],
    k: int,
    tolerances: tuple[float, float],
    how: str,
) -> None:
    rtol, atol = tolerances
    for j, (n, a) in enumerate(zip(numeric, analytic, strict=True)):
        if not np.allclose(a, n, rtol=rtol, atol=atol, equal_nan=True):
            raise GradcheckError(
                f"Jacobian {how}mismatch for output {j} with respect to input {k},\n"
                f"numerical: {n}\nanalytical: {a}"
            )


def _along(func: Callable[..., Any], given: Sequence[Any]) -> tuple[Callable[..., Any], list[Any]]:
    """*func* along a random direction of each input, and of its outputs: of numbers, one number.

    A Jacobian that is wrong anywhere is wrong there, but for a set of directions of measure zero.
    """
    rng = np.random.default_rng(0)

    def draw(x: Any) -> Tensor:
        unit = rng.standard_normal(x.shape)
        if x.dtype.kind == "c":
            unit = unit + 1j * rng.standard_normal(x.shape)
        return Tensor(leaf_node(place(np.asarray(unit, x.dtype), x._node.aval.device)))

    tracked = {
        j: draw(x) for j, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad
    }
    weights: list[Tensor] = []

    def along(*steps: Any) -> Any:
        args = [
            given[j].detach() + steps[j].real * tracked[j] if j in tracked else x
            for j, x in enumerate(steps)
        ]
        outs = _as_tuple(func(*args))
        if not weights:
            weights.extend(draw(o) for o in outs)
        return tuple((o * w).real.sum() for o, w in zip(outs, weights, strict=True))

    starts = [
        Tensor(leaf_node(np.zeros((), x.real.dtype))).requires_grad_() if j in tracked else x
        for j, x in enumerate(given)
    ]
    return along, starts


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    **how: Any,
) -> bool:
    """Check second derivatives: :func:`gradcheck` of the gradients of *func*.

    Parameters are those of gradcheck, its keywords too; *grad_outputs* are the cotangents (random, seeded).

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.autograd.gradgradcheck(ng.sin, ng.tensor([0.5, 1.0], requires_grad=True))
    True
    """
    given = tuple([as_tensor(x) for x in _as_tuple(inputs)])
    outs = tuple([as_tensor(out) for out in _as_tuple(func(*given))])
    rng = np.random.default_rng(0)
    if grad_outputs is None:
        seeds = tuple(
            Tensor(
                leaf_node(
                    place(np.array(rng.standard_normal(o.shape), o.dtype), o._node.aval.device)
                )
            ).requires_grad_()
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

    return gradcheck(gradients, (*given, *seeds), eps, atol, rtol, raise_exception, **how)
