"""Arguments of a traced function: which are arrays, what a trace depends on, what a program reads.

What is asked of an argument is asked of NumPy's own view of it: a subclass of arrays may tell
another shape or dtype than its memory has, and another one at each call.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.api.statics import refused_name, static
from nbgrad.core.aval import Aval, make_aval, weak_aval
from nbgrad.core.foreign import array_of, is_container
from nbgrad.core.lazy import LazyModule
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, constant, leaf_node
from nbgrad.core.tape import Var
from nbgrad.core.tree import Same, flatten, pinned
from nbgrad.errors import ForeignError
from nbgrad.tensors.number import Number, Scalar, Whole
from nbgrad.tensors.tensor import Tensor

if TYPE_CHECKING:
    from nbgrad.api.fixed import Fixed

fixing = LazyModule("nbgrad.api.fixed")

_KINDS = "biufc"
HOT_NUMBERS = (float, np.float64)  # that machine code takes as arguments
_SINGLE = (float, complex, np.generic)
_DYNAMIC = (np.ndarray, np.generic, float, complex, Tensor)


def is_dynamic(x: Any) -> bool:
    """Whether a trace holds for other values of *x* too, of the same kind, shape and dtype."""
    if isinstance(x, np.generic):
        return x.dtype.kind in _KINDS  # np.str_ is a setting
    return (isinstance(x, _DYNAMIC) and not isinstance(x, enum.Enum)) or is_container(x)


def settled(
    leaves: Sequence[Any], structure: Any, free: Collection[int] = ()
) -> tuple[list[Any], Any]:
    """*leaves* and *structure* with the integers among the leaves as settings, but for *free*."""
    held = {k: x for k, x in enumerate(leaves) if x.__class__ is int and k not in free}
    if not held:
        return list(leaves), structure
    return [x for k, x in enumerate(leaves) if k not in held], pinned(structure, held)


def leaves_of(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    fixed: Fixed | None = None,
) -> tuple[list[Any], Any]:
    """The arrays and numbers among the arguments of *f*, and the structure that holds the rest.

    Python's integers are leaves, too: see :func:`settled`. Those that are *fixed* are settings,
    whatever they are.

    Raises
    ------
    TypeError
        For arrays of something else than numbers, and for settings that can change unseen.
    """
    if fixed is None and not kwargs and all(_is_plain(x) for x in args):
        return [*args], _of_arrays(len(args))
    held = fixed.structures(args, kwargs) if fixed is not None else {}
    if held:
        args = tuple([None if k in held else x for k, x in enumerate(args)])
        kwargs = {name: None if name in held else x for name, x in kwargs.items()}
    try:
        leaves, structure = _flattened((args, dict(sorted(kwargs.items()))))
        return leaves, fixing.replaced(structure, held) if held else structure
    except ForeignError:
        raise
    except (TypeError, ValueError) as error:
        name = refused_name(f, args, kwargs, _flattened)
        raise TypeError(f"jit: argument {name}: {error}.") from None


def _is_plain(x: Any) -> bool:
    kind = x.__class__
    return kind is Tensor or kind is float or (kind is np.ndarray and x.dtype.kind in _KINDS)


@functools.cache
def _of_arrays(count: int) -> Any:
    """The structure of a call with so many arrays and nothing else."""
    return _flattened(((0.0,) * count, {}))[1]


def _is_leaf(x: Any) -> bool:
    return x.__class__ is int or is_dynamic(x)


def _flattened(x: Any) -> tuple[list[Any], Any]:
    leaves, structure = flatten(x, _is_leaf, static, _holds_no_array)
    return [plain(leaf) for leaf in leaves], structure


def _holds_no_array(x: Any) -> bool:
    """Whether a dataclass is a setting: one is nested data if there are arrays in it."""
    try:
        leaves, _ = flatten(x, static=Same)
    except RecursionError:  # it holds itself
        return True
    return not any(is_dynamic(leaf) and not isinstance(leaf, _SINGLE) for leaf in leaves)


def plain(x: Any, name: str = "jit") -> Any:
    """*x* as NumPy's own array or scalar, or one of Python's own numbers, or a tensor."""
    kind = x.__class__
    if kind is float or kind is complex or kind is int or isinstance(x, Tensor):
        return x
    x = array_of(x, name)
    # Of a subclass of float, too, NumPy makes one of its scalars: such a number is not weak.
    x = np.asarray(x) if isinstance(x, np.ndarray) else np.asarray(x)[()]
    if x.dtype.kind not in _KINDS:
        return array_of(x, name)  # which refuses it
    return x


def describe(x: Any) -> Any:
    """Key of one leaf: its shape and dtype, and whether it is a tensor or a number, or recorded on.

    What is recorded on one that requires grad depends on whether recording is switched on.
    """
    if x.__class__ is np.ndarray:
        return (x.shape, x.dtype)
    if isinstance(x, Tensor):
        node = x._node
        return (Tensor, node.aval, modes.grad) if node.requires_grad else (Tensor, node.aval)
    return (np.generic, x.dtype) if isinstance(x, np.generic) else x.__class__


def aval_of_leaf(x: Any) -> Aval:
    """What a trace knows of a leaf."""
    if isinstance(x, Tensor):
        return x._node.aval
    if isinstance(x, (np.ndarray, np.generic)):
        return make_aval(x.shape, x.dtype)
    return weak_aval(x.__class__)


def stand_in(x: Any, node: Node) -> Tensor:
    """What a function sees of the leaf *x* while it is traced."""
    if node.aval.weak:
        made: Tensor = (Whole if x.__class__ is int else Number)(node)
        return made
    return Scalar(node) if isinstance(x, np.generic) else Tensor(node)


def node_of_leaf(x: Any) -> Node:
    """A leaf as a node to record on, of the aval it was traced by."""
    if isinstance(x, Tensor):
        return x._node
    if isinstance(x, (np.ndarray, np.generic)):
        return constant(x)
    node = leaf_node(np.array(x))
    node.aval = weak_aval(x.__class__)
    return node


def as_input(x: Any, var: Var) -> np.ndarray[Any, Any]:
    """A leaf as what a program reads: contiguous, aligned, native, of the input's shape."""
    array = np.require(x, var.aval.dtype, ["C", "A"])
    if array.shape != var.aval.shape:
        raise TypeError(f"jit: an argument of shape {array.shape} where {var.aval} was traced")
    return array
