"""Running a function on arguments to differentiate by, and handing out what was found.

Arguments and results are nested data; arrays in give arrays out, tensors in give tensors out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.enclosing import belongs_outside
from nbgrad.api.wanted import Wanted, split_aux
from nbgrad.config import settings
from nbgrad.core.foreign import numbers_of
from nbgrad.core.linearize import capture
from nbgrad.core.memory import host, named
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, constant, leaf_node
from nbgrad.core.placing import moved
from nbgrad.core.tree import LEAF, STATIC, builder, flatten, paths, unflatten
from nbgrad.engine.demand import demand
from nbgrad.errors import (
    COMPLEX_OUTPUT,
    NOT_AN_ARRAY,
    NOT_HOLOMORPHIC,
    AutogradError,
    ConcretizationError,
    ForeignError,
)
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.elements import composite
from nbgrad.vocabulary.shapes import as_node

_ARRAYS = frozenset({np.ndarray, float, complex, np.float64, np.float32, Tensor})


class Tracked:
    """A call that is differentiated.

    Attributes
    ----------
    tensors : list of Tensor
        What is differentiated by: the leaves of all arguments that were asked for. They are not
        those that the function got, which it may write into.
    parts : list
        For each argument its structure, and where its leaves are among the tensors.
    wanted : Wanted
    returned : object
        What the function returned.
    given : tuple
        Positional and keyword arguments.
    """

    __slots__ = ("given", "parts", "returned", "tensors", "wanted")

    def __init__(
        self,
        tensors: list[Tensor],
        parts: list[tuple[Any, Sequence[int]]],
        wanted: Wanted,
        returned: Any,
        given: tuple[Any, Any],
    ) -> None:
        self.tensors = tensors
        self.parts = parts
        self.wanted = wanted
        self.returned = returned
        self.given = given

    @property
    def nodes(self) -> list[Node]:
        return [t._node for t in self.tensors]

    def places(self) -> list[Any]:
        """The structure of each of the arguments."""
        return [structure for structure, _ in self.parts]

    @property
    def structure(self) -> Any:
        """The structure of what ``nest`` makes."""
        return flatten(self.nest(range(len(self.tensors))))[1]

    def nest(self, found: Sequence[Any]) -> Any:
        """Something found for each of the tensors, as the arguments are nested."""
        if self.wanted.first is not None and self.parts[0][0] is LEAF:
            return found[0]
        made = [
            found[where[0]]
            if structure is LEAF or structure == LEAF
            else builder(structure)([found[k] for k in where])
            for structure, where in self.parts
        ]
        return self.wanted.nest(made)


def differentiable(
    x: Any, name: str, place: int | str, holomorphic: bool = False, lent: bool = False
) -> Tensor:
    """The node to differentiate by for an argument, or a leaf of one, called *place*.

    An array that is *lent* is read where it lies, if it lies there as one must.
    """
    try:
        if lent and _in_order(x):
            node = leaf_node(x)
        else:
            node = x._node if isinstance(x, Tensor) else constant(numbers_of(x))
        if settings.device is not None and not isinstance(x, Tensor):
            node = moved(node, named(settings.device))
    except ForeignError:
        raise
    except (TypeError, ValueError):
        raise TypeError(
            NOT_AN_ARRAY.format(name=name, place=place, kind=type(x).__name__)
        ) from None
    if node.dtype.kind in "iu" and x.__class__ is not int:
        node = composite.astype(node, np.float64)  # SciPy's solvers start from lists of integers
    if not node.aval.inexact:
        raise TypeError(
            f"{name}: argument {place} is {node.dtype}; differentiation needs real or complex "
            "floating-point input. Write 3.0 instead of 3, or cast with .astype(float)."
        )
    if holomorphic and node.dtype.kind != "c":
        raise TypeError(NOT_HOLOMORPHIC.format(name=name, what="arguments", dtype=node.dtype))
    return Tensor(composite.differentiable_copy(node, connected=True))


def _in_order(x: Any) -> bool:
    """Whether it is an array of floats as kernels read them."""
    if x.__class__ is not np.ndarray or x.dtype.char not in "df":
        return False
    return bool(x.dtype.isnative and x.flags.c_contiguous and x.flags.aligned)


def _lends(f: Callable[..., Any]) -> bool:
    """Whether nothing of the user's runs from here until the derivative is there, nor holds what is recorded."""
    if not getattr(f, "runs_no_python", False) or modes.recorded is not None:
        return False
    return not (modes.transforms or modes.products or modes.tracing or modes.whole)


def call_tracked(
    f: Callable[..., Any],
    wanted: Wanted,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    holomorphic: bool,
    *,
    finished: bool = False,
) -> Tracked:
    """Run *f* with the arguments that are *wanted* made differentiable.

    Parameters
    ----------
    finished : bool
        Whether nothing that is recorded is used once the user has the results.
    """
    lent = finished and _lends(f)
    places = wanted.places(f, args, kwargs)
    before, modes.grad = modes.grad, True
    modes.transforms += 1
    try:
        given: Any = list(args)
        named: Any = dict(kwargs) if kwargs else kwargs
        tensors: list[Tensor] = []
        parts: dict[int | str, tuple[Any, Sequence[int]]] = {}
        for k in places:
            if k in parts:
                continue
            held = given if k.__class__ is int else named
            first = len(tensors)
            if held[k].__class__ in _ARRAYS:
                held[k] = made = differentiable(held[k], wanted.name, k, holomorphic, lent)
                tensors.append(Tensor(made._node))
                parts[k] = LEAF, (first,)
                continue
            held[k], structure = _opened(held[k], wanted.name, k, holomorphic, tensors)
            parts[k] = structure, range(first, len(tensors))
        returned = f(*given, **named)
        return Tracked(tensors, [parts[k] for k in places], wanted, returned, (args, kwargs))
    except ValueError as error:
        # NumPy's ``array[i] = tensor`` hides what __float__ said behind "with a sequence".
        if isinstance(error.__cause__, AutogradError):
            raise AutogradError(str(error.__cause__)) from error
        raise
    finally:
        modes.grad = before
        modes.transforms -= 1


def _opened(
    x: Any, name: str, place: int | str, holomorphic: bool, tensors: list[Tensor]
) -> tuple[Any, Any]:
    """What stands for an argument, and its structure; its leaves are added to *tensors*."""
    leaves, structure = flatten(x)
    if structure == LEAF or structure[0] == STATIC or _starts(x, leaves):
        made = differentiable(x, name, place, holomorphic)
        tensors.append(Tensor(made._node))
        return made, LEAF
    where = str(place) if isinstance(place, int) else place
    found = [
        differentiable(leaf, name, path, holomorphic)
        for leaf, path in zip(leaves, paths(structure, where), strict=True)
    ]
    tensors += [Tensor(t._node) for t in found]
    return unflatten(structure, found), structure


def _starts(x: Any, leaves: Sequence[Any]) -> bool:
    """Whether it is a list of integers, as SciPy's solvers may start from: an array of floats."""
    return type(x) in (list, tuple) and bool(leaves) and all(map(_is_whole, leaves))


def _is_whole(x: Any) -> bool:
    if isinstance(x, Tensor):  # a Python integer, while jit traces
        return x._node.aval.weak and x.dtype.kind == "i"
    return x.__class__ is int


def output_of(y: Any, name: str) -> Tensor:
    if isinstance(y, (list, tuple)):
        raise TypeError(
            f"{name}: the function returned a {type(y).__name__}; it must return one array: "
            "return nbgrad.numpy.array([...]), or stack or concatenate the parts, or name what is "
            "not to be differentiated by has_aux=True"
        )
    if y is None:
        raise TypeError(
            f"{name}: the function returned None; is there a `return` in all its branches?"
        )
    return y if isinstance(y, Tensor) else Tensor(as_node(y))


def outputs_of(y: Any, name: str) -> tuple[list[Tensor], Any]:
    """The results of a function, and how they are nested."""
    if y.__class__ is Tensor:
        return [y], LEAF
    leaves, structure = flatten(y)
    if structure == LEAF:
        return [output_of(y, name)], LEAF
    found = []
    for leaf, path in zip(leaves, paths(structure, "result"), strict=True):
        try:
            found.append(output_of(leaf, name))
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: {path} is a {type(leaf).__name__}: {error}") from None
    return found, structure


def scalar_of(y: Any, name: str, holomorphic: bool) -> Tensor:
    out = output_of(y, name)
    if out._node.size != 1 or out.ndim:
        raise TypeError(
            f"{name} only applies to scalar-output functions; the output has shape {out.shape}. "
            "Reduce it, for example with .sum(), or use nbgrad.jacobian."
        )
    check_kind(out, name, holomorphic)
    return out


def check_kind(out: Tensor, name: str, holomorphic: bool) -> None:
    if holomorphic and out.dtype.kind != "c":
        raise TypeError(NOT_HOLOMORPHIC.format(name=name, what="outputs", dtype=out.dtype))
    if not holomorphic and out.dtype.kind == "c":
        raise TypeError(COMPLEX_OUTPUT.format(name=name, dtype=out.dtype))
    if not out._node.aval.inexact:
        raise TypeError(
            f"{name} needs a real floating-point output, not {out.dtype}: a number of elements, a comparison or "
            "a cast, astype(int), has no derivative; return what comes before it"
        )


def as_asked(nodes: list[Node], outer: bool, given: tuple[Any, Any]) -> list[Any]:
    """Arrays; or tensors, if a tensor was given or the result belongs to an outer graph."""
    args, kwargs = given
    if not outer and not holds_tensor((*args, *kwargs.values())):
        try:
            demand(nodes)
        except ConcretizationError:  # inside jit, of a closed-over argument
            return [Tensor(n) for n in nodes]
        return [host(n.value) if n.ndim else host(n.value)[()] for n in nodes]
    return [Tensor(n) for n in nodes]


def values_as_asked(values: list[Any], given: tuple[Any, Any]) -> list[Any]:
    """The same of arrays, which nothing differentiates."""
    args, kwargs = given
    if holds_tensor((*args, *kwargs.values())):
        return [Tensor(leaf_node(value)) for value in values]
    return [v if v.ndim else v[()] for v in map(host, values)]


def holds_tensor(xs: Iterable[Any]) -> bool:
    """Whether a tensor is among *xs*, or nested in one of them."""
    for x in xs:
        if isinstance(x, Tensor):
            return True
        if x.__class__ not in _ARRAYS and any(isinstance(a, Tensor) for a in flatten(x)[0]):
            return True
    return False


def aux_as_asked(aux: Any, run: Tracked) -> Any:
    """What a function returned beside its result, as the caller is to see it.

    Its tensors are computed now, before a backward pass frees what they are computed of.
    """
    leaves, structure = flatten(aux)
    places = [k for k, x in enumerate(leaves) if isinstance(x, Tensor)]
    if not places:
        return aux
    nodes = [leaves[k]._node for k in places]
    outer = modes.grad and belongs_outside(capture(nodes, differentiate=True), nodes, run.nodes)
    if not outer:
        nodes = [leaves[k].detach()._node for k in places]
    for k, value in zip(places, as_asked(nodes, outer, run.given), strict=True):
        leaves[k] = value
    return unflatten(structure, leaves)


__all__ = ["Tracked", "as_asked", "aux_as_asked", "call_tracked", "split_aux", "values_as_asked"]
