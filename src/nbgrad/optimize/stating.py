"""A problem as it is stated: function, parameters, arguments, bounds, constraints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nbgrad.errors import need_functions
from nbgrad.optimize.bounding import bounds_of
from nbgrad.optimize.constraining import Constraint, constraints_of, together
from nbgrad.optimize.points import Point
from nbgrad.optimize.programs import programs_of, result_shape, values_of
from nbgrad.optimize.space import Space
from nbgrad.optimize.swept import Swept

Func = Callable[..., Any]


class Stated:
    """What a problem is made of; :class:`nbgrad.optimize.Problem` computes."""

    def __init__(
        self,
        fun: Func,
        x0: Any,
        args: Sequence[Any] = (),
        constraints: Any = (),
        bounds: Any = None,
    ) -> None:
        need_functions("problem", fun)
        self.space = Space(x0, "problem")
        self.args = args if isinstance(args, tuple) else (args,)
        self._made_of = fun, x0, self.args, constraints, bounds
        self.bounds = bounds_of(bounds, self.space)
        self.constraints: list[Constraint] = constraints_of(constraints, self.space)
        self.values = values_of(self.args)  # of which tensors are their values
        self._programs: Any = None
        self._flat_fun: Func | None = None
        self._looked = self._tracked = False
        self._shape = (self.space.size,)
        self._point = Point(b"")
        self.compiled: dict[Any, Any] = {}  # what solvers keep of it
        self.sweeps = True  # whether a value comes with its gradient
        self._plans: dict[str, Any] = {}
        self._joined = False
        self._run: Swept | None = None
        self._given: tuple[Any, ...] = ()
        self._all: Swept | None = None

    def __repr__(self) -> str:
        return f"<nbgrad.problem of {self.space.size} unknowns: {self._made_of[0]!r}>"

    @property
    def x0(self) -> Any:
        return self.space.x0

    def user(self, x: Any) -> Any:
        """What the function returns at a vector, as it is."""
        return self._made_of[0](self.nested(x), *self.values)

    def nested(self, x: Any) -> Any:
        """A vector, nested as the parameters that the problem was made with.

        Examples
        --------
        >>> import numpy as np
        >>> import nbgrad as ng
        >>> p = ng.problem(lambda v: v["a"] ** 2 + v["b"].sum(), {"a": 1.0, "b": np.ones(2)})
        >>> p.nested(p.grad(p.x0))
        {'a': np.float64(2.0), 'b': array([1., 1.])}
        """
        return self.space.nested(x)

    # ------------------------------------------------------------------- what the function returns

    @property
    def function(self) -> Func:
        """The function, of nested parameters."""
        return self._made_of[0]

    @property
    def result_shape(self) -> tuple[int, ...] | None:
        """That of what the function returns; None for what is nested."""
        return self.programs.shape  # type: ignore[no-any-return]

    @property
    def result_size(self) -> int:
        """How many numbers it returns."""
        return self.programs.size  # type: ignore[no-any-return]

    @property
    def programs(self) -> Any:
        """The compiled derivatives of the function."""
        if self._programs is None:
            fun, space = self._made_of[0], self.space
            self._programs = programs_of(fun, space, result_shape(fun, space, self.values))
        return self._programs

    @property
    def flat(self) -> Func:
        """The function of a vector and of *args*: it records, and returns a number or a vector."""
        return self.programs.flat  # type: ignore[no-any-return]

    @property
    def flat_fun(self) -> Func:
        """The same of a vector alone."""
        if self._flat_fun is None:
            flat, values = self.flat, self.values
            self._flat_fun = (lambda x: flat(x, *values)) if values else flat
        return self._flat_fun

    @property
    def all(self) -> Swept | None:
        """Value and gradient with the constraints and their Jacobians, if they are one sweep."""
        if not self._joined:
            self._joined = True
            self._all = together(self) if self.constraints else None
            for k, c in enumerate(self.constraints):
                c.known = partial(self._limit, k)
        return self._all

    def _limit(self, k: int, x: Any) -> Any:
        """Values and Jacobian of constraint *k* at a vector."""
        raise NotImplementedError

    def fun(self, x: Any) -> Any:
        """The value at a vector."""
        raise NotImplementedError

    @property
    def reads_tracked(self) -> bool:
        """Whether the function reads tensors from outside that require grad."""
        if not self._looked:
            self._looked = True
            self.fun(self.x0)  # and that is kept for the solver
        return self._tracked
