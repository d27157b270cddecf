"""``backward`` and ``grad``: argument checks around the backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.backward import accumulate, run_backward
from nbgrad.core.node import Node, constant, leaf_node
from nbgrad.errors import GRAD_SHAPE, NO_GRAPH, NOT_SCALAR, UNUSED, AutogradError
from nbgrad.ops.structure import cast


def is_tensor(x: Any) -> bool:
    """Whether *x* is a Tensor: this layer lies below the class."""
    return isinstance(getattr(x, "_node", None), Node)


def _tensors(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (tuple, list)) else [x]


def _seeds(outputs: Sequence[Any], given: Any) -> list[Node | None]:
    """Check the starting cotangents; None stands for ones (scalar outputs only)."""
    seeds = [None] * len(outputs) if given is None else _tensors(given)
    if len(seeds) != len(outputs):
        raise AutogradError(f"got {len(outputs)} outputs and {len(seeds)} gradients; give one each")
    checked: list[Node | None] = []
    for k, (out, seed) in enumerate(zip(outputs, seeds, strict=True)):
        if not is_tensor(out):
            raise TypeError(f"outputs must be tensors; element {k} is {type(out).__name__}")
        if not out.requires_grad:
            raise AutogradError(NO_GRAPH.format(index=k))
        checked.append(None if seed is None else _seed(out, seed, k))
        if seed is None and out._node.size != 1:
            raise AutogradError(NOT_SCALAR.format(shape=out.shape))
    return checked


def _seed(out: Any, seed: Any, k: int) -> Node:
    node = seed._node if is_tensor(seed) else constant(seed)
    if node.shape != out.shape:
        raise AutogradError(
            GRAD_SHAPE.format(index=k, given=list(node.shape), wanted=list(out.shape))
        )
    if node.dtype.kind == "c" and out.dtype.kind != "c":
        raise AutogradError(
            f"grad_output[{k}] is complex but output[{k}] is {out.dtype}: pass its real part"
        )
    return node if node.dtype == out.dtype else cast(node, dtype=out.dtype)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Accumulate into ``.grad`` of the leaves the gradient of *tensors*.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        What to differentiate.
    grad_tensors : array_like or sequence, optional
        Cotangents of *tensors*, each of its tensor's shape; 1 for one-element tensors.
    retain_graph : bool, optional
        Keep what a second pass needs; *create_graph* by default.
    create_graph : bool
        Record the backward pass, so that gradients can be differentiated.
    inputs : Tensor or sequence of Tensor, optional
        Accumulate into these only, which may be intermediate results.

    Raises
    ------
    RuntimeError
        For an untracked tensor, a missing or misshapen cotangent, or a graph already freed. No
        ``.grad`` is changed then.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor(3.0, requires_grad=True)
    >>> ng.autograd.backward(x * x)
    >>> x.grad.item()
    6.0
    """
    outputs = _tensors(tensors)
    seeds = _seeds(outputs, grad_tensors)
    retain = create_graph if retain_graph is None else retain_graph
    wanted = None
    if inputs is not None:
        wanted = [t for t in _tensors(inputs)]
        if not wanted:
            raise AutogradError("inputs argument to backward() cannot be empty")
        for t in wanted:
            if not t.requires_grad:
                raise AutogradError(NO_GRAPH.format(index=wanted.index(t)))
    found = run_backward(
        [t._node for t in outputs],
        seeds,
        inputs=None if wanted is None else [t._node for t in wanted],
        retain_graph=bool(retain),
        create_graph=create_graph,
    )
    for node, gradient in found:
        accumulate(node, gradient)
    if wanted is not None:
        _accumulate_inner(wanted, found)


def _accumulate_inner(wanted: Sequence[Any], found: Sequence[tuple[Node, Node]]) -> None:
    """``backward(inputs=)`` may name intermediate tensors: their grad is set too."""
    gradients = dict(found)
    for t in wanted:
        gradient = gradients.get(t._node)
        if t._node.leaf is None and gradient is not None:
            t.grad = type(t)(gradient if t.grad is None else t.grad._node + gradient)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Return the gradient of *outputs* with respect to each of *inputs*; ``.grad`` is untouched.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
    inputs : Tensor or sequence of Tensor
        Leaves or intermediate results.
    grad_outputs : array_like or sequence, optional
        Cotangents of *outputs*, each of its output's shape; 1 for one-element outputs.
    retain_graph, create_graph : bool
        As in :func:`backward`.
    allow_unused : bool
        Return None for an input that no output depends on, instead of raising.
    materialize_grads : bool
        Return zeros for such an input.

    Returns
    -------
    tuple of Tensor
        One gradient for each input, of its shape and dtype.

    Raises
    ------
    RuntimeError
        As :func:`backward`, and for an unused input.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor(3.0, requires_grad=True)
    >>> (g,) = ng.autograd.grad(x**3, x, create_graph=True)
    >>> ng.autograd.grad(g, x)[0].item()
    18.0
    """
    outs, ins = _tensors(outputs), _tensors(inputs)
    seeds = _seeds(outs, grad_outputs)
    for k, t in enumerate(ins):
        if not is_tensor(t) or not t.requires_grad:
            raise AutogradError(
                f"One of the differentiated Tensors does not require grad (input {k}): call "
                "requires_grad_() on it before the forward pass"
            )
    retain = create_graph if retain_graph is None else retain_graph
    found = dict(
        run_backward(
            [t._node for t in outs],
            seeds,
            inputs=list(dict.fromkeys(t._node for t in ins)),
            retain_graph=bool(retain),
            create_graph=create_graph,
        )
    )
    allowed = materialize_grads if allow_unused is None else allow_unused
    results: list[Any] = []
    for k, t in enumerate(ins):
        gradient = found.get(t._node)
        if gradient is not None:
            results.append(type(t)(gradient))
        elif materialize_grads:
            results.append(type(t)(leaf_node(np.zeros(t.shape, t.dtype))))
        elif allowed:
            results.append(None)
        else:
            raise AutogradError(UNUSED.format(index=k, shape=t.shape))
    return tuple(results)
