"""The registry: every primitive by name, every public function, and NumPy's names for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbgrad.core.frozen import Frozen, Value

primitives: dict[str, Any] = {}
by_reference: dict[Any, Callable[..., Any]] = {}


class PublicFunction(Frozen):
    """A function of nodes and its declaration; see ``vocabulary/declare.py``.

    Attributes
    ----------
    name, namespace : str
        It is ``nbgrad.<namespace>.<name>``.
    implementation : callable
        On nodes, numbers and arrays.
    reference : callable, str or None
        The oracle on arrays, or its dotted name: what tests compare with, and the NumPy function
        whose calls on tensors come here.
    cases : callable or None
        ``cases(draw)`` lists calls that tests make: see ``vocabulary/declare.py``.
    differentiable, complex : bool
        Whether tests differentiate those calls, and whether they draw complex numbers too.
    observe : callable or None
        Maps the results to what is unique about them, where signs or phases are not.
    method : bool
        Whether tensors have it as a method.
    traceable : bool
        Whether the shapes of its results are known without values, so that jit can trace it.
    restrict : callable or None
        Maps the arguments of a call to where the function is defined, such as Hermitian matrices.
    makes : tuple of str or None
        It makes a tensor of its own, and these parameters may be tensors: the public function takes
        ``requires_grad=``, too.
    like : bool
        Of the first of those it reads shape and dtype alone.
    """

    name: str
    namespace: str
    implementation: Callable[..., Any]
    reference: Any
    cases: Callable[[Any], list[Any]] | None
    differentiable: bool
    complex: bool
    observe: Callable[[Any], Any] | None
    method: bool
    traceable: bool = True
    restrict: Callable[..., Any] | None = None
    makes: tuple[str, ...] | None = None
    like: bool = False


class IndexMap(Value):
    """How a view lies in what it is a view of.

    Attributes
    ----------
    put : callable
        ``put(x, y, params)`` is *x* with the elements that the view names replaced by *y*.
    strides : callable
        ``strides(shape, strides, params)`` of the view, in elements, from those of its operand;
        None if there are none, where NumPy would copy.
    reads : bool
        Whether ``put`` reads more of *x* than its shape.
    writable : bool
        Whether each element of the view is another one of the operand.
    """

    put: Callable[..., Any]
    strides: Callable[..., Any]
    reads: bool = False
    writable: bool = True


functions: dict[str, dict[str, PublicFunction]] = {}
# Functions of nodes that were declared, under whatever name: what a call of one records depends on avals
# and settings alone, unless it looks at a value.
declared: set[Callable[..., Any]] = set()
# What a namespace holds beside functions, such as ``mgrid``, which is subscripted.
objects: dict[str, dict[str, Any]] = {}
# What the public function of a primitive does with PyTorch's keywords: these, and a function of nodes.
variants: dict[str, tuple[frozenset[str], Callable[..., Any]]] = {}
# Primitives whose result NumPy would give as a view of the operand, and how to write through it.
views: dict[Any, IndexMap] = {}
# Functions of nodes whose results are views of an operand if they are made of such primitives
# alone: True, or of which operands NumPy makes them, see ``vocabulary/declare.py``.
viewers: dict[Callable[..., Any], bool | str] = {}
# NumPy's functions that ask about tensors, not about their values.
about_tensors: dict[Any, Callable[..., Any]] = {}
# Functions of nodes whose result takes the place of their first argument, as ``np.copyto`` does.
writers: set[Callable[..., Any]] = set()
# The same with ``copy=False``, as ``np.nan_to_num``.
patchers: set[Callable[..., Any]] = set()
# All of these: whose results are not just results.
marked: set[Callable[..., Any]] = set()


def register_primitive(prim: Any) -> None:
    """Add *prim*; a second primitive of the same name is an error."""
    if prim.name in primitives:
        raise ValueError(f"primitive {prim.name!r} is already declared; choose another name")
    primitives[prim.name] = prim


def register_function(function: PublicFunction) -> None:
    """Add *function* to its namespace; a second of the same name there is an error."""
    held = functions.setdefault(function.namespace, {})
    if function.name in held:
        raise ValueError(f"{function.namespace}.{function.name} is already declared")
    held[function.name] = function
    declared.add(function.implementation)


def register_object(namespace: str, name: str, value: Any) -> None:
    """Make *value* the attribute *name* of a namespace."""
    held = objects.setdefault(namespace, {})
    if name in held:
        raise ValueError(f"{namespace}.{name} is already declared")
    held[name] = value


def register_view(
    prim: Any,
    put: Callable[..., Any],
    strides: Callable[..., Any],
    reads: bool = False,
    writable: bool = True,
) -> None:
    """Say how *prim* shares elements with its operand; see IndexMap."""
    views[prim] = IndexMap(put, strides, reads, writable)


def register_reference(reference: Any, function: Callable[..., Any]) -> None:
    """Route NumPy's *reference* (a ufunc or function object) to our *function* of nodes."""
    by_reference.setdefault(reference, function)
    declared.add(function)


def reroute(reference: Any, function: Callable[..., Any]) -> None:
    """Route *reference* to *function* also if a primitive answered to it."""
    by_reference[reference] = function
    declared.add(function)
