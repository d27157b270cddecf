"""The programs of one function of parameters: value and derivatives by a vector, each made when asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import FunctionType
from typing import Any

import numpy as np

from nbgrad.api.derivatives import jvp, vjp
from nbgrad.api.grad import value_and_grad
from nbgrad.api.jacobian import hessian, jacobian
from nbgrad.api.second_order import hvp
from nbgrad.api.trees import leaves, ravel
from nbgrad.api.trees import map as mapped
from nbgrad.core.modes import modes
from nbgrad.core.node import leaf_node
from nbgrad.errors import ConcretizationError
from nbgrad.optimize.space import Space
from nbgrad.optimize.swept import Swept
from nbgrad.tensors.tensor import Tensor

Func = Callable[..., Any]
Shape = tuple[int, ...] | None
KEPT = "__nbgrad_programs__"  # an attribute of a function, that another solve finds them
MANY = 16  # nests and shapes of one function


class Programs:
    """Of *fun*, whose parameters are nested as *space* says and whose result has *shape*.

    Attributes
    ----------
    flat : callable
        The function of a vector and further arguments: it records, and returns a number or a vector.
    """

    def __init__(self, fun: Func, space: Space, result: tuple[Shape, int]) -> None:
        self.fun = fun
        self.shape, self.size = shape, _ = result
        user = space.over(fun)
        if shape is not None and len(shape) < 2:
            self.flat = user
        else:
            self.flat = lambda x, *args: ravel(user(x, *args))[0]

    @cached_property
    def scalar(self) -> Func:
        """The function, if it has one value: that, without dimensions."""
        shape, flat = self.shape, self.flat
        if shape == ():
            return flat
        if shape is None or np.prod(shape) != 1:
            what = "several values" if shape is None else f"an array of shape {shape}"
            raise ValueError(
                f"problem: the function returns {what}, and a gradient or a Hessian is that of one "
                "number: reduce it, for example by .sum(), or ask for jac"
            )
        return lambda x, *args: flat(x, *args).reshape(())

    @property
    def vector(self) -> Func:
        """The function, whose value is a vector, of one element if need be."""
        if self.shape is not None and len(self.shape) == 1:
            return self.flat
        flat = self.flat
        return lambda x, *args: ravel(flat(x, *args))[0]

    @cached_property
    def both(self) -> Swept:
        return Swept(value_and_grad(self.scalar))

    @cached_property
    def value(self) -> Swept:
        return Swept(self.flat)

    @cached_property
    def jac(self) -> Swept:
        return Swept(jacobian(self.vector))

    @cached_property
    def hess(self) -> Swept:
        return Swept(hessian(self.scalar))

    @cached_property
    def weighted_hess(self) -> Swept:
        """The Hessian of the values' sum, with weights."""
        vector = self.vector
        return Swept(hessian(lambda x, v, *args: (vector(x, *args) * v).sum()))

    @cached_property
    def hvp(self) -> Swept:
        scalar = self.scalar
        return Swept(lambda x, p, *args: hvp(lambda y: scalar(y, *args), (x,), (p,)))

    @cached_property
    def jvp(self) -> Swept:
        vector = self.vector
        return Swept(lambda x, p, *args: jvp(lambda y: vector(y, *args), (x,), (p,))[1])

    @cached_property
    def vjp(self) -> Swept:
        vector = self.vector
        return Swept(lambda x, p, *args: vjp(lambda y: vector(y, *args), x)[1](p))


def values_of(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Further arguments, of which tensors are arrays of their values, if these are known."""
    return mapped(_value_of, args)  # type: ignore[no-any-return]


def _value_of(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return x
    x = x.detach()
    if modes.tracing or x._node.aval.device:
        return x
    try:
        return x.numpy()
    except ConcretizationError:
        return x


def result_shape(fun: Func, space: Space, args: tuple[Any, ...]) -> tuple[Shape, int]:
    """The shape of what *fun* returns where *space* starts, or None if that is nested; its size."""
    before, modes.grad = modes.grad, False
    try:
        start = space.start if isinstance(space.start, Tensor) else Tensor(leaf_node(space.x0))
        out = space.over(fun)(start, *args)
    finally:
        modes.grad = before
    if isinstance(out, (list, tuple, dict)):
        return None, sum(int(np.prod(np.shape(leaf), dtype=int)) for leaf in leaves(out))
    shape = tuple(np.shape(out))
    return shape, int(np.prod(shape, dtype=int))


def programs_of(fun: Func, space: Space, result: tuple[Shape, int]) -> Programs:
    """The programs of *fun*: those of the last time, if it is a function that was met before."""
    if fun.__class__ is not FunctionType:
        return Programs(fun, space, result)
    held: Any = fun.__dict__.get(KEPT)
    if held is None or held[0] is not fun or len(held[1]) > MANY:  # another's, by functools.wraps
        held = fun.__dict__[KEPT] = (fun, {})
    key = repr(space.unravel.held), tuple(space.unravel.avals), result
    found: Programs | None = held[1].get(key)
    if found is None:
        found = held[1].setdefault(key, Programs(fun, space, result))
    return found
