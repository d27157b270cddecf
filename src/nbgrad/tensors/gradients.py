"""``backward`` and ``grad``: argument checks around the backward pass."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.forks import ThreadLock
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, constant, leaf_node
from nbgrad.core.placing import gathered, zeros_leaf
from nbgrad.core.ports import ports
from nbgrad.engine.backward import run_backward
from nbgrad.engine.demand import demand
from nbgrad.errors import (
    BACKWARD_IN_TRACE,
    GRAD_SHAPE,
    NO_GRAPH,
    NOT_REAL,
    NOT_SCALAR,
    UNUSED,
    AutogradError,
)
from nbgrad.machine.heap import alone
from nbgrad.ops import basis
from nbgrad.tensors import aliases

_accumulating = ThreadLock()

_UNIT_SEED: list[Node | None] = [None]


def is_tensor(x: Any) -> bool:
    """Whether *x* is a Tensor: this layer lies below the class."""
    return isinstance(getattr(x, "_node", None), Node)


def _tensors(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (tuple, list)) and not is_tensor(x) else [x]


def _is_array(x: Any) -> bool:
    """Whether *x* is a tensor, not a gradient edge."""
    return hasattr(type(x), "grad")


def _class_of(x: Any) -> type:
    """The class of the gradient of *x*, a tensor or a gradient edge."""
    return type(x) if _is_array(x) else ports.tensor


def _seeds(tensors: Any, outputs: Sequence[Any], given: Any) -> list[Node | None]:
    """Check the starting cotangents; None stands for ones (scalar outputs only)."""
    seeds: list[Any]
    if given is None:
        seeds = [None] * len(outputs)
    elif isinstance(tensors, (tuple, list)) and not is_tensor(tensors):
        seeds = _tensors(given)
    else:
        # A list of numbers is the seed of a single output; a list of one tensor holds its seed.
        held = isinstance(given, (tuple, list)) and len(given) == 1
        seeds = list(given) if held and (given[0] is None or is_tensor(given[0])) else [given]
    if len(seeds) != len(outputs):
        raise AutogradError(
            f"got {len(outputs)} outputs and {len(seeds)} gradients; give one each"
        )
    checked: list[Node | None] = []
    for k, (out, seed) in enumerate(zip(outputs, seeds, strict=True)):
        if not is_tensor(out):
            raise TypeError(f"outputs must be tensors; element {k} is {type(out).__name__}")
        if not out.requires_grad:
            raise AutogradError(NO_GRAPH.format(index=k))
        if seed is None and out._node.size != 1:
            raise AutogradError(NOT_SCALAR.format(shape=out.shape))
        if seed is None and out.dtype.kind == "c":
            raise AutogradError(NOT_REAL.format(dtype=out.dtype))
        checked.append(None if seed is None else _seed(out, seed, k))
    return checked


def _seed(out: Any, seed: Any, k: int) -> Node:
    node = seed._node if is_tensor(seed) else constant(seed)
    if node.shape != out.shape:
        raise AutogradError(GRAD_SHAPE.format(index=k, given=node.shape, wanted=out.shape))
    if node.dtype.kind == "c" and out.dtype.kind != "c":
        raise AutogradError(
            f"grad_output[{k}] is complex but output[{k}] is {out.dtype}: they are required to have "
            "the same dtype; pass its real part"
        )
    if node.aval.device != out._node.aval.device:
        (_, node) = gathered("backward", (out._node, node))
    return node if node.dtype == out.dtype else basis.cast(node, dtype=out.dtype)


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
    node = getattr(tensors, "_node", None)
    if (
        node is not None
        and grad_tensors is None
        and node.requires_grad
        and node.aval.size == 1
        and node.aval.dtype.kind == "f"
    ):
        outputs, seeds = [tensors], _UNIT_SEED  # the common case, a scalar loss
    else:
        outputs = _tensors(tensors)
        seeds = _seeds(tensors, outputs, grad_tensors)
    retain = create_graph if retain_graph is None else retain_graph
    wanted = None
    if inputs is not None:
        wanted = list({t._node: t for t in _tensors(inputs)}.values())
        if not wanted:
            raise AutogradError("inputs argument to backward() cannot be empty")
        for k, t in enumerate(wanted):
            if not t.requires_grad:
                raise AutogradError(NO_GRAPH.format(index=k))
    found = run_backward(
        [t._node for t in outputs],
        seeds,
        inputs=None if wanted is None else [t._node for t in wanted],
        retain_graph=bool(retain),
        create_graph=create_graph,
    )
    if modes.tracing:
        _refuse_traced(found)
    for node, gradient in found:
        if node.watch is None:
            accumulate(node, gradient, create_graph)
        elif node.leaf is not None:
            _accumulate_watched(node, gradient, create_graph)
    if wanted is not None:
        _accumulate_inner(wanted, found)


def _refuse_traced(found: Sequence[tuple[Node, Node]]) -> None:
    """Raise if a gradient found while jit traces is one of a tensor from outside."""
    for node, _ in found:
        if node.seq < modes.tracing or (node.sig is None and node.value is None):
            raise AutogradError(BACKWARD_IN_TRACE.format(aval=node.aval))


def _accumulate_watched(node: Node, gradient: Node, create_graph: bool) -> None:
    """``accumulate`` for a leaf with hooks, which run without recording, as the pass did."""
    watch, tensor = node.watch, node.leaf()
    before, modes.grad = modes.grad, create_graph
    try:
        (given,) = watch.run(watch.before, [gradient])
        if given is None or tensor is None:
            return
        accumulate(node, given, create_graph)
        first = tensor.grad is not None and tensor.grad._node is given
        for hook in tuple(watch.accumulated.values()):
            if hook(tensor) is not None:
                raise AutogradError("post accumulate grad hooks should return None.")
        # One object, if it was the first gradient: what those hooks wrote to .grad is seen.
        shown = tensor.grad if first else watch.tensor_type(given)
        for hook in tuple(watch.after.values()):
            hook((), (shown,))
    finally:
        modes.grad = before


def _accumulate_inner(wanted: Sequence[Any], found: Sequence[tuple[Node, Node]]) -> None:
    """``backward(inputs=)`` may name intermediate tensors: their grad is set too.

    That of one which retains its gradient was, during the pass.
    """
    gradients = dict(found)
    for t in wanted:
        gradient, watch = gradients.get(t._node), t._node.watch
        retained = watch is not None and watch.retained is not None
        if t._node.leaf is None and gradient is not None and not retained and _is_array(t):
            held = getattr(t, "_grad", None)
            t.grad = type(t)(gradient if held is None else held._node + gradient)


def accumulate(node: Node, gradient: Node, create_graph: bool = False) -> None:
    """Add *gradient* to the ``.grad`` of the tensor that *node* is a leaf of.

    The buffer of ``.grad`` is updated in place when nobody else can see it; with *create_graph*
    it is another tensor, so that who holds the first has the first.
    """
    tensor = node.leaf() if node.leaf is not None else None
    if tensor is None or not tensor._node.requires_grad:
        return
    with _accumulating.held:
        held = tensor.grad
        if held is None:
            tensor._grad = tensor.__class__(gradient)
        elif create_graph:
            tensor._grad = tensor.__class__(held._node + gradient)
        elif held._alias is not None:  # its views see what is added
            aliases.write(held, held._node + gradient)
        elif (
            gradient.requires_grad
            or held._node.requires_grad
            or held._node.value.__class__ is not np.ndarray  # pending, or on a device
        ):
            held._node = held._node + gradient
        else:
            _add_in_place(held, gradient)


def _add_in_place(held: Any, gradient: Node) -> None:
    demand([gradient])
    # One reference each from the slot and from the call. Of what a variable holds, Pythons differ in what they count.
    exclusive = sys.getrefcount(held._node) <= 2 and sys.getrefcount(held._node.value) <= 2
    buffer = held._node.value
    if exclusive and buffer.flags.writeable and alone(buffer):
        np.add(buffer, gradient.value, out=buffer)
    else:
        held._node = leaf_node(np.asarray(np.add(buffer, gradient.value)))


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
    ValueError
        If *materialize_grads* is asked for and *allow_unused* is False.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor(3.0, requires_grad=True)
    >>> (g,) = ng.autograd.grad(x**3, x, create_graph=True)
    >>> ng.autograd.grad(g, x)[0].item()
    18.0
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True: zeros "
            "stand for the gradient of an unused input, so it is allowed"
        )
    outs, ins = _tensors(outputs), _tensors(inputs)
    if not ins:
        raise AutogradError(
            "inputs argument to grad() cannot be empty: name what to differentiate by"
        )
    seeds = _seeds(outputs, outs, grad_outputs)
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
            results.append(_class_of(t)(gradient))
        elif materialize_grads:
            results.append(_zeros(t, create_graph))
        elif allowed:
            results.append(None)
        else:
            raise AutogradError(UNUSED.format(index=k, shape=t.shape))
    return tuple(results)


def _zeros(t: Any, create_graph: bool) -> Any:
    """What stands for the gradient of an unused input."""
    if not _is_array(t):
        raise AutogradError(
            "materialize_grads cannot be used when the given input is a GradientEdge"
        )
    zeros = zeros_leaf(t.shape, t._node.aval)
    zeros.requires_grad = create_graph
    return type(t)(zeros)
