"""``jacobian hessian vjp jvp hvp vhp`` with PyTorch's signatures, for functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbgrad.api.products import (
    as_given,
    as_tuple,
    blocks_of,
    by_columns,
    call_on,
    cotangents_of,
    finished_with,
    gradients_of,
    jvp,
    only_scalar,
    recorded_blocks,
    tangents_of,
    vjp,
)
from nbgrad.core.modes import modes
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.tensor import Tensor

STRATEGIES = "auto", "forward-mode", "reverse-mode"  # of jacobian


def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strategy: str = "auto"
) -> Any:
    """Return the Jacobian of *func* at *inputs*.

    Parameters
    ----------
    func : callable
    inputs : Tensor or tuple of Tensor
    create_graph : bool
        Keep the result differentiable with respect to *inputs*.
    strategy : {"auto", "forward-mode", "reverse-mode"}
        ``auto`` takes the mode with fewer passes.

    Returns
    -------
    Tensor or nested tuples of Tensor
        Of shape ``output.shape + input.shape``, for each output and each input.

    Raises
    ------
    ValueError
        For another *strategy*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.autograd.functional.jacobian(lambda x: x * x, ng.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"jacobian: strategy={strategy!r} must be one of {', '.join(STRATEGIES)}")
    xs, outs, single = call_on(func, inputs, create_graph)
    one = not isinstance(inputs, (tuple, list))
    forward = strategy == "forward-mode" or (
        strategy == "auto" and by_columns(outs, xs, "jacobian")
    )
    before, modes.grad = modes.grad, create_graph
    try:
        made = recorded_blocks if strategy == "forward-mode" else blocks_of
        blocks = made(outs, xs, forward, create_graph)
    finally:
        modes.grad = before
    found = [as_given(one, finished_with(xs, block, create_graph)) for block in blocks]
    return as_given(single, found)


def hessian(func: Callable[..., Any], inputs: Any, create_graph: bool = False) -> Any:
    """Return the Hessian of a scalar function: a block for each pair of inputs.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.autograd.functional.hessian(lambda x: (x**3).sum(), ng.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    one = not isinstance(inputs, (tuple, list))

    def gradient(*xs: Tensor) -> Any:
        out = func(*[Tensor(x._node) for x in xs])
        outs = as_tuple(out)
        scalar = only_scalar(outs, not isinstance(out, (tuple, list)))
        fill = [Tensor(materialize(1.0, scalar._node.aval))]
        return as_given(one, gradients_of([scalar], xs, fill, True))

    return jacobian(gradient, inputs, create_graph, strategy="reverse-mode")


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool = False
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and the Hessian times *v*, by forward over reverse.

    Examples
    --------
    >>> import nbgrad as ng
    >>> hvp = ng.autograd.functional.hvp
    >>> hvp(lambda x: (x**3).sum(), ng.tensor([1.0, 2.0]), ng.ones(2))[1]
    tensor([ 6., 12.])
    """
    xs, outs, single = call_on(func, inputs, create_graph)
    scalar = only_scalar(outs, single)
    vs = cotangents_of(v, xs, "input")
    before, modes.grad = modes.grad, True
    try:
        fill = [Tensor(materialize(1.0, scalar._node.aval))]
        gradients = gradients_of([scalar], xs, fill, True)
        modes.grad = create_graph
        found = [Tensor(n) for n in tangents_of(gradients, xs, [t._node for t in vs])]
    finally:
        modes.grad = before
    one = not isinstance(inputs, (tuple, list))
    return finished_with(xs, [scalar], create_graph)[0], as_given(
        one, finished_with(xs, found, create_graph)
    )


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool = False
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and *v* times the Hessian, which is symmetric: see :func:`hvp`.

    Examples
    --------
    >>> import nbgrad as ng
    >>> vhp = ng.autograd.functional.vhp
    >>> vhp(lambda x: (x**3).sum(), ng.tensor([1.0, 2.0]), ng.ones(2))[1]
    tensor([ 6., 12.])
    """
    return hvp(func, inputs, v, create_graph)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
