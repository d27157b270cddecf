"""``njit``: a function compiled by Numba that is differentiated as any other operation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any, Final

import numba
import numpy as np
from numba import types
from numba.extending import typeof_impl

from nbgrad.api.custom import custom_jvp, custom_vjp
from nbgrad.core.boxes import box, is_box
from nbgrad.core.node import Node
from nbgrad.machine.numba_inside import CPUDispatcher
from nbgrad.native import comparing, frozen, making, parts, printing, products, scalars
from nbgrad.native.arguments import Arguments
from nbgrad.native.specialized import NOT_AS_DECLARED, Specialized, as_declared
from nbgrad.ops.control.native import native

Func = Callable[..., Any]
_ = (comparing, making, parts, printing, products, scalars)  # they tell Numba of active numbers


def _opened(dispatcher: Any) -> tuple[Any, set[int]]:
    """The function as derivatives take it, and which arguments are floats as the signatures say that it was given.

    Ours come read-only, and a signature of an array that may be written to does not take such: then it is the
    function for any types. Where a signature converts something, this is another function: see ``as_declared``.
    """
    if dispatcher._can_compile:
        return dispatcher, set()
    given = list(dispatcher.overloads)
    floats = {
        k
        for k, tys in enumerate(zip(*given, strict=False))
        if all(isinstance(x, types.Float) for x in tys)
    }
    if not any(isinstance(x, types.Array) for signature in given for x in signature):
        return dispatcher, floats
    options = dict(dispatcher.targetoptions)
    return CPUDispatcher(dispatcher.py_func, dispatcher.locals, options), floats


class Njit:
    """What :func:`njit` returns: called as the function is.

    Examples
    --------
    >>> import nbgrad as ng
    >>> square = ng.njit(lambda x: x * x)
    >>> isinstance(square, ng.Njit), square(3.0)
    (True, 9.0)
    """

    __nbgrad_njit__ = True

    def __init__(self, dispatcher: Any) -> None:
        self.dispatcher = dispatcher
        functools.update_wrapper(self, dispatcher.py_func)
        self._signature = inspect.signature(dispatcher.py_func)
        self._known: dict[Any, Specialized] = {}
        self._marks = frozen.marks_of(dispatcher)
        self._open, self._floats = _opened(dispatcher)
        self._ruled: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for x in args:
            kind = x.__class__
            if kind in _PLAIN:
                continue
            if is_box(kind) or kind is Node or (isinstance(x, _NESTS) and _holds(x)):
                return self._recorded(args, kwargs)
        if kwargs and any(_holds((x,)) for x in kwargs.values()):
            return self._recorded(args, kwargs)
        return self.dispatcher(*args, **kwargs)

    @property
    def runs_no_python(self) -> bool:
        """Whether a call, and its derivatives, are machine code alone: a rule is what a user wrote."""
        return self._ruled is None

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<nbgrad.njit of {self.dispatcher.py_func!r}>"

    def _recorded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._ruled is not None:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return self._ruled(*bound.args)
        return self._operation(args, kwargs)

    def _operation(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made, found = self._specialized(args, kwargs)
        nodes = native(
            *found.nodes,
            function=made,
            statics=tuple(found.values),
            active=(),
            order=0,
            reverse=False,
            values=False,
        )
        nodes = nodes if isinstance(nodes, tuple) else (nodes,)
        return made.nested([box(node) for node in nodes])

    def _specialized(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The function for arguments of these types, and the arguments taken apart."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found = Arguments()
        given = bound.args
        if self._floats:
            numbers = [
                k in self._floats and x.__class__ in (int, bool) for k, x in enumerate(given)
            ]
            given = tuple([float(x) if n else x for x, n in zip(given, numbers, strict=True)])
        arguments = tuple([found.of(x) for x in given])
        key = arguments, tuple(found.leaves)
        made = self._known.get(key)
        if made is None:
            made = Specialized(self._open, arguments, found, self._marks)
            if not self.dispatcher._can_compile and not as_declared(self.dispatcher, made):
                raise TypeError(NOT_AS_DECLARED.format(self.dispatcher.__name__))
            self._known[key] = made
        return made, found

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """Which way derivatives of a call take, and why not another.

        Parameters
        ----------
        *args, **kwargs
            Of the function; their types alone matter.

        Returns
        -------
        str
            A line for the value, the tangent, the gradient, and what second derivatives take.

        Examples
        --------
        >>> import nbgrad as ng
        >>> square = ng.njit(lambda x: x * x)
        >>> print(square.explain(3.0).splitlines()[0])
        value: the function itself
        """
        made, _ = self._specialized(args, kwargs)
        lines = []
        floats = tuple([x.number for x in made.operands if x.dtype.kind in "fc"])
        asked = {
            "value": ((), 0, False),
            "tangent": (floats, 1, False),
            "gradient": (floats, 0, True),
            "gradient of a tangent": (floats, 1, True),
        }
        for name, (active, order, reverse) in asked.items():
            if self._ruled is not None and name != "value":
                lines.append(f"{name}: by the rule that it was given")
                continue
            try:
                said = made.code(active, order, reverse).report
            except TypeError as error:
                said = f"refused: {error}"
            lines.append(f"{name}: {said}")
        return "\n".join(lines)

    def defvjp(self, rule: Func) -> Func:
        """Give it a gradient of the user's own: ``rule(cotangent, result, *args)``.

        Parameters
        ----------
        rule : function, or function compiled by Numba
            Returns a tuple with a cotangent for each argument, nested as that is; None for one that has none.
            Its own derivatives are those of the second order.

        Returns
        -------
        function
            The rule.

        Examples
        --------
        >>> import nbgrad as ng
        >>> cube = ng.njit(lambda x: x * x * x)
        >>> rule = cube.defvjp(lambda ct, y, x: (3 * x * x * ct,))
        >>> ng.grad(cube)(2.0).item()
        12.0
        """
        given = rule if isinstance(rule, Njit) else njit(rule)
        ruled = custom_vjp(lambda *args: self._operation(args, {}))
        ruled.defvjp(
            lambda *args: (y := self._operation(args, {}), (y, args)),
            lambda held, ct: given(ct, held[0], *held[1]),
        )
        self._ruled = ruled
        return rule

    def defjvp(self, rule: Func) -> Func:
        """Give it a tangent of the user's own: ``rule(args, tangents)``.

        Parameters
        ----------
        rule : function, or function compiled by Numba
            Takes two tuples, and returns the result and its tangent, which is linear in the tangents.

        Returns
        -------
        function
            The rule.

        Examples
        --------
        >>> import nbgrad as ng
        >>> cube = ng.njit(lambda x: x * x * x)
        >>> rule = cube.defjvp(lambda args, ts: (args[0] ** 3, 3 * args[0] ** 2 * ts[0]))
        >>> ng.grad(cube)(2.0).item()
        12.0
        """
        given = rule if isinstance(rule, Njit) else njit(rule)
        ruled = custom_jvp(lambda *args: self._operation(args, {}))
        ruled.defjvp(lambda args, tangents: given(tuple(args), tuple(tangents)))
        self._ruled = ruled
        return rule


_PLAIN: Final = frozenset({np.ndarray, float, int, bool, np.float64, str})
_NESTS: Final = tuple, list  # lists are refused beside tensors, in words of ours


def _holds(x: Any) -> bool:
    """Whether a tensor is in a nest of tuples or lists."""
    if isinstance(x, _NESTS):
        return any(_holds(item) for item in x)
    return is_box(x.__class__) or x.__class__ is Node


@typeof_impl.register(Njit)
def _typeof(x: Njit, context: Any) -> Any:
    return numba.typeof(x.dispatcher)


def njit(f: Any = None, **options: Any) -> Any:
    """Compile a function by Numba, and differentiate it as one operation.

    Called with arrays and numbers it is what Numba makes of it. Called with tensors, so in ``grad``, ``jit``,
    ``vmap`` and bodies of loops, it is one operation, which has derivatives of all orders: for these the
    function is compiled again, for numbers that carry tangents, or that record what they are made of. It
    may loop, branch, recur, allocate arrays and call other functions of Numba's. Code compiled by Numba calls
    it as any function of Numba's.

    Parameters
    ----------
    f : function, or function compiled by Numba
        It must not write into its arguments. Arrays and floats among the arguments, also in tuples, are
        differentiated; integers, flags and records of numbers are not.
    **options
        Of ``numba.njit``, such as ``fastmath`` or ``boundscheck``.

    Returns
    -------
    Njit
        Or a decorator, without *f*.

    Raises
    ------
    TypeError
        If *f* is no function; when it is called, if it returns what is neither a number nor an array.

    Examples
    --------
    >>> import nbgrad as ng
    >>> @ng.njit
    ... def newton(a):
    ...     x = a
    ...     while abs(x * x - a) > 1e-12:
    ...         x = (x + a / x) / 2
    ...     return x
    >>> newton(2.0), ng.grad(newton)(2.0).item()
    (1.414213562373095, 0.35355339059327...)
    """
    if f is None:
        return functools.partial(njit, **options)
    if isinstance(f, CPUDispatcher):
        return Njit(f)
    if not callable(f):
        raise TypeError(f"njit: a function is needed, and this is a {type(f).__qualname__}")
    return Njit(numba.njit(**options)(f))
