"""Node: one recorded operation, or a leaf. Nodes form the lazy graph that tapes are read from."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from nbgrad.core.asked import undecided
from nbgrad.core.aval import Aval, make_aval, placed
from nbgrad.core.foreign import numbers_of
from nbgrad.core.memory import Buffer
from nbgrad.core.registry import by_reference
from nbgrad.core.values import value_of

next_sequence = count().__next__


class Node(np.lib.mixins.NDArrayOperatorsMixin):
    """One value: who computes it, from what, and its buffer once computed.

    A node owns its operands, so Python's reference counts free an abandoned graph. Arithmetic on
    nodes goes through NumPy's ufunc protocol to the registry: this is what derivative rules use.

    Attributes
    ----------
    sig : Signature or None
        Primitive, params and avals; None for a leaf or a placeholder.
    inputs : tuple of Node or Python scalar
    aval : Aval
    value : numpy.ndarray, Buffer or None
        The elements, C-contiguous; None while pending (or abstract). See core/memory.py.
    requires_grad : bool
    depth : int
        Length of the longest chain of pending nodes that ends here.
    seq : int
        Position in recording order.
    freed : bool
        A backward pass consumed the graph here.
    leaf : weakref to Tensor, or None
        The tensor that gradients of this node accumulate into.
    watch : object or None
        Hooks, a retained gradient, or a user-written backward: see autograd.
    line : str or None
        The user's source line, when anomaly detection or profiling is on.
    passed : Habit or None
        The structure of an evaluation that computed this value and did not keep it: see engine. Of
        a leaf: True if a user put it where it lies, see core/placing.py.
    """

    __slots__ = (
        "__weakref__",
        "aval",
        "depth",
        "freed",
        "inputs",
        "leaf",
        "line",
        "passed",
        "requires_grad",
        "seq",
        "sig",
        "value",
        "watch",
    )

    # No __init__: a call that runs one costs 0.1 us more. Make nodes with ``new_node``.
    sig: Any
    inputs: tuple[Any, ...]
    aval: Aval
    requires_grad: bool
    depth: int
    seq: int
    value: Any
    freed: bool
    leaf: Any
    line: str | None
    passed: Any
    watch: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return self.aval.ndim

    @property
    def size(self) -> int:
        return self.aval.size

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = by_reference.get(ufunc)
        if method != "__call__" or kwargs or function is None:
            return NotImplemented
        return function(*inputs)

    def __repr__(self) -> str:
        name = self.sig.prim.name if self.sig is not None else "leaf"
        return f"<Node {name} {self.aval!r}>"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    if not TYPE_CHECKING:

        def __bool__(self):
            raise TypeError(undecided(self))

        def __index__(self):
            # For functions that are given a tensor as an axis or a count.
            if self.aval.shape or self.aval.dtype.kind not in "iu":
                raise TypeError(
                    f"only integer scalars can be an index, not a {self.aval!r} tensor"
                )
            return int(value_of(self))

        __int__ = __index__


def new_node(
    sig: Any, aval: Aval, inputs: tuple[Any, ...], requires_grad: bool, depth: int
) -> Node:
    """Return a node without a buffer."""
    node = Node()
    node.sig = sig
    node.aval = aval
    node.inputs = inputs
    node.requires_grad = requires_grad
    node.depth = depth
    node.seq = next_sequence()
    node.value = node.leaf = node.line = node.passed = node.watch = None
    node.freed = False
    return node


def leaf_node(value: Any, requires_grad: bool = False) -> Node:
    """Return a node that holds a C-contiguous array of native byte order, or a buffer."""
    aval = make_aval(value.shape, value.dtype)
    if value.__class__ is not ndarray and isinstance(value, Buffer):
        aval = placed(aval, value.device)
    node = new_node(None, aval, (), requires_grad, 0)
    node.value = value
    return node


def put_node(value: Any) -> Node:
    """A leaf of a value that a user put where it lies: see core/placing.py."""
    node = leaf_node(value)
    node.passed = True
    return node


def renewed(node: Node, value: Any) -> Node:
    """A leaf of another value of the shape and dtype of *node*, where that lies."""
    fresh = new_node(None, node.aval, (), False, 0)
    fresh.value, fresh.passed = value, True
    return fresh


def placeholder(aval: Aval, requires_grad: bool = False) -> Node:
    """Return an abstract input: a node that will never have a buffer."""
    return new_node(None, aval, (), requires_grad, 0)


class NoNumbersError(TypeError):
    """Something that is no array of numbers, such as None or text, was given as an operand."""


def constant(value: Any) -> Node:
    """Return a leaf that holds a private copy of *value*, safe from later writes to it."""
    if value.__class__ is not np.ndarray:
        value = numbers_of(value)
    array = np.array(value, order="C", copy=True)
    if array.dtype.kind not in "biufc":
        raise NoNumbersError(f"nbgrad holds numbers and booleans, not {array.dtype} ({value!r})")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return leaf_node(array)


__all__ = [
    "NoNumbersError",
    "Node",
    "constant",
    "leaf_node",
    "make_aval",
    "new_node",
    "placeholder",
    "put_node",
]
