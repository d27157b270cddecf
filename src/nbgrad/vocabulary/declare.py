"""``@function``: declares a public function of nodes, that needs no derivative rule of its own.

One declaration gives the name in its namespace, the dispatch of NumPy's function on tensors, the
rows of the table-driven tests and the row of docs/operations.md:

    @function("numpy", np.tensordot, cases=lambda d: [call(d(2, 3), d(3, 4), axes=1)])
    def tensordot(a, b, axes=2):
        ...

``cases`` is called by tests with a source of samples ``d``, in each dtype under test:

    d(3, 4)             normal numbers (complex where the function takes them)
    d.positive(3)       between 0.2 and 1.5, real
    d.unit(3)           between 0.1 and 0.9, real
    d.real(3)           normal numbers, real also where others are complex
    d.distinct(2, 3)    shuffled and at least 0.3 apart, for sorting and extremes
    d.spd(2, 3, 3)      a batch of well-conditioned positive definite (Hermitian) matrices
    d.square(2, 3, 3)   a batch of well-conditioned matrices
    d.integers(5, 2, 3) integers below 5, of shape (2, 3)
    d.booleans(4)

Floating-point and complex samples are differentiated, integers and booleans are not. What is not
an array is passed as it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.registry import (
    PublicFunction,
    marked,
    patchers,
    register_function,
    reroute,
    viewers,
    writers,
)

Call = tuple[tuple[Any, ...], dict[str, Any]]


def newer(name: str) -> Any:
    """NumPy's function *name*, or where it would be: the oldest versions have none."""
    return getattr(np, name, f"numpy.{name}")


def call(*args: Any, **kwargs: Any) -> Call:
    """One call that tests make of a declared function."""
    return args, kwargs


def function(
    namespace: str,
    reference: Any = None,
    *,
    name: str = "",
    aliases: tuple[str, ...] = (),
    cases: Callable[[Any], list[Call]] | None = None,
    differentiable: bool = True,
    complex: bool = False,
    observe: Callable[[Any], Any] | None = None,
    also: tuple[Any, ...] = (),
    method: bool = False,
    writes: bool | str = False,
    view: bool | str = False,
    traceable: bool = True,
    restrict: Callable[..., Any] | None = None,
    makes: tuple[str, ...] | None = None,
    like: bool = False,
) -> Callable[[Any], Any]:
    """Declare the decorated function of nodes, which has NumPy's signature.

    Parameters
    ----------
    namespace : str
        ``"numpy"``, ``"linalg"``, ``"fft"``, ``"special"``, ``"stats"``, ``"signal"`` ...
    reference : callable or str, optional
        The oracle: NumPy's function, or the dotted name of one that is costly to import.
    name : str
        The public name, if it is not the function's.
    aliases : tuple of str
        Other public names.
    cases, differentiable, complex, observe, restrict :
        What tests do with it: see :class:`nbgrad.core.registry.PublicFunction`.
    also : tuple of callables
        Other NumPy functions whose calls on tensors mean this one.
    method : bool
        Also make it a method of tensors, under its names.
    writes : bool
        The result is the new value of the first argument, a tensor, as of ``np.copyto``; the
        public function writes it there and returns None. "uncopied" if it does so only with
        ``copy=False``, and returns the tensor.
    view : bool or "contiguous"
        The results are views of an operand where they are made of its elements in their order of
        memory, as NumPy's are: writing to one is writing to the other. "strided" if NumPy copies
        where no strides make them, "contiguous" if it copies what does not lie in order, "uncopied"
        if it copies unless ``copy=False``.
    traceable : bool
        False if the shape of a result depends on values: it looks at them, which jit refuses.
    makes : tuple of str
        It makes a tensor of its own, as ``np.full``: the public function takes ``requires_grad=``.
        Given are the parameters that may be tensors. What is a tensor in another one, such as an
        extent of a shape, or in ``*more``, the function looks at by value, or refuses.
    like : bool
        Of the first of those it reads shape and dtype alone.
    """

    def declare(implementation: Any) -> Any:
        main = name or implementation.__name__.rstrip("_")
        shared = (
            reference,
            cases,
            differentiable,
            complex,
            observe,
            method,
            traceable,
            restrict,
            makes,
            like,
        )
        register_function(PublicFunction(main, namespace, implementation, *shared))
        for alias in aliases:
            register_function(
                PublicFunction(alias, namespace, implementation, reference, None, *shared[2:])
            )
        if writes:
            (writers if writes is True else patchers).add(implementation)
        if view:
            viewers[implementation] = view
        if writes or view:
            marked.add(implementation)
        for target in (reference, *also):
            if callable(target):
                reroute(target, implementation)
        return implementation

    return declare
