"""``njit``: a function compiled by Numba that is differentiated as any other operation."""

from __future__ import annotations

import ctypes
import functools
import inspect
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, Final

import numba
import numpy as np
from numba.extending import typeof_impl

from nbgrad.core.aval import make_aval
from nbgrad.core.boxes import box, is_box, unbox
from nbgrad.core.forks import compiling
from nbgrad.core.node import Node, constant
from nbgrad.core.values import known_value
from nbgrad.machine.lljit import uninterrupted
from nbgrad.machine.numba_inside import CPUDispatcher, as_dtype
from nbgrad.native import active, calling, making, memory, products, scalars
from nbgrad.native.entry import paths
from nbgrad.native.forms import Fixed, Leaf, Request, Result, Static
from nbgrad.native.routes import code_of
from nbgrad.ops.basis import strong
from nbgrad.ops.control.native import native

Func = Callable[..., Any]
_ = (making, products, scalars)  # they tell Numba of active numbers


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

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for x in args:
            kind = x.__class__
            if kind in _PLAIN:
                continue
            if is_box(kind) or kind is Node or (isinstance(x, tuple) and _holds(x)):
                return self._recorded(args, kwargs)
        if kwargs and any(_holds((x,)) for x in kwargs.values()):
            return self._recorded(args, kwargs)
        return self.dispatcher(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<nbgrad.njit of {self.dispatcher.py_func!r}>"

    def _recorded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found = _Arguments()
        arguments = tuple([found.of(x) for x in bound.args])
        key = arguments, tuple(found.leaves)
        made = self._known.get(key)
        if made is None:
            made = self._known[key] = Specialized(self.dispatcher, arguments, found)
        nodes = native(
            *found.nodes,
            function=made,
            statics=tuple(found.values),
            active=(),
            order=0,
            reverse=False,
        )
        nodes = nodes if isinstance(nodes, tuple) else (nodes,)
        return made.nested([box(node) for node in nodes])


_PLAIN: Final = frozenset({np.ndarray, float, int, bool, np.float64, str})


def _holds(x: Any) -> bool:
    """Whether a tensor is in a nest of tuples."""
    if isinstance(x, tuple):
        return any(_holds(item) for item in x)
    return is_box(x.__class__) or x.__class__ is Node


class _Arguments:
    """The arguments of a call, taken apart."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.nodes: list[Any] = []
        self.statics: list[Static] = []
        self.values: list[int] = []

    def of(self, x: Any) -> Any:
        """What stands for an argument."""
        kind = x.__class__
        if is_box(kind) or kind is Node:
            return self._leaf(strong(unbox(x) if kind is not Node else x))
        if isinstance(x, bool | np.bool_):
            return self._static("b1", x)
        if isinstance(x, int | np.integer):
            return self._static("i8", x)
        if isinstance(x, float | np.floating):
            return self._leaf(constant(np.asarray(x)))
        if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
            return self._leaf(constant(x))
        if isinstance(x, tuple):
            return type(x), tuple([self.of(item) for item in x])
        return Fixed(x)

    def _leaf(self, node: Any) -> Leaf:
        leaf = Leaf(len(self.leaves), node.aval.dtype, node.aval.ndim)
        self.leaves.append(leaf)
        self.nodes.append(node)
        return leaf

    def _static(self, code: str, x: Any) -> Static:
        static = Static(len(self.statics), code)
        self.statics.append(static)
        self.values.append(int(x))
        return static


class Specialized:
    """A function for arguments of certain types: what the operation has as its param.

    ``leaves`` is the number of operands, ``floats`` are the results that have derivatives.
    """

    def __init__(self, dispatcher: Any, arguments: tuple[Any, ...], found: _Arguments) -> None:
        self.dispatcher, self.arguments = dispatcher, arguments
        self.operands = tuple(found.leaves)
        self.statics = tuple(found.statics)
        self.leaves = len(self.operands)
        returned = self._returned()
        self.results, self.rebuild = _results(returned)
        self.floats = tuple([r for r, leaf in enumerate(self.results) if leaf.inexact])
        self._shapes: dict[Any, Any] = {}
        self._codes: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<{self.dispatcher.__name__}>"

    def _returned(self) -> Any:
        """The type that the function returns."""
        kinds = tuple([self._type(x) for x in self.arguments])
        with compiling, uninterrupted():
            self.dispatcher.get_call_template(kinds, {})
        return (
            self.dispatcher.get_overload(kinds)
            and self.dispatcher.overloads[kinds].signature.return_type
        )

    def _type(self, x: Any) -> Any:
        if isinstance(x, Leaf):
            dtype = numba.from_dtype(x.dtype)
            return calling.frozen_type(dtype, x.ndim) if x.ndim else dtype
        if isinstance(x, Static):
            return numba.types.boolean if x.code == "b1" else numba.types.int64
        if isinstance(x, tuple):
            kind, items = x
            inner = [self._type(item) for item in items]
            return (
                numba.types.Tuple(inner) if kind is tuple else numba.types.NamedTuple(inner, kind)
            )
        return numba.typeof(x.value)

    def nested(self, found: Sequence[Any]) -> Any:
        """Results as the function nests them."""
        return self.rebuild(iter(found))

    # --------------------------------------------------------------------------------- shapes

    def avals(self, xs: Sequence[Any], statics: tuple[int, ...]) -> list[Any]:
        """What is known of the results, from the arguments."""
        if not any(leaf.ndim for leaf in self.results):
            return [make_aval((), leaf.dtype) for leaf in self.results]
        key = tuple([x.aval for x in xs]), statics
        if key not in self._shapes:
            given = [known_value(x) for x in xs]
            self._shapes[key] = self._tried(
                [_stand_in(v, x.aval) for v, x in zip(given, xs, strict=True)], statics
            )
        return self._shapes[key]  # type: ignore[no-any-return]

    def _tried(self, values: list[Any], statics: tuple[int, ...]) -> list[Any]:
        found = self.plain(values, statics)
        arrays = [np.asarray(_at(found, leaf.path)) for leaf in self.results]
        return [
            make_aval(x.shape, leaf.dtype) for x, leaf in zip(arrays, self.results, strict=True)
        ]

    def plain(self, values: Sequence[Any], statics: tuple[int, ...]) -> Any:
        """What the user's function itself returns for arrays."""
        return self.dispatcher(*[_given(x, values, statics) for x in self.arguments])

    # --------------------------------------------------------------------------------- running

    def code(self, active: tuple[int, ...], order: int, reverse: bool) -> Any:
        """Machine code for a derivative."""
        key = active, order, reverse
        if key not in self._codes:
            number = _number(order, reverse)
            request = Request(
                self.dispatcher, self.arguments, self.operands, self.statics, self.results,
                active, order, reverse, number,
            )  # fmt: skip
            with compiling, uninterrupted():
                self._codes[key] = code_of(request)
        return self._codes[key]

    def run(
        self, xs: Sequence[Any], statics: Any, active: Any, order: int, reverse: bool
    ) -> list[Any]:
        """Results as arrays."""
        code = self.code(active, order, reverse)
        many = 1 << order
        given = self._given(xs, active, many)
        if reverse:
            outs = [np.empty_like(given[j]) for _ in range(many) for j in active]
        else:
            avals = self.avals([constant(x) for x in given[: self.leaves]], statics)
            first = [np.empty(a.shape, a.dtype) for a in avals]
            outs = first + [np.empty_like(first[r]) for _ in range(many - 1) for r in self.floats]
        words: list[int] = []
        for x in given:
            words += [x.ctypes.data, *x.shape]
        words += statics
        for x in outs:
            words += [x.ctypes.data, *x.shape]
        table = np.array(words, np.int64)
        fault = _RUN(code.address)(table.ctypes.data)
        if fault:
            if fault == calling.RAISED:
                self.plain(given[: self.leaves], statics)
            raise self.fault(fault)
        return outs

    def _given(self, xs: Sequence[Any], active: Any, many: int) -> list[Any]:
        """Operands where the code reads them: a cotangent may be Python's 3, all else is as typed."""
        dtypes = [leaf.dtype for leaf in self.operands]
        dtypes += [dtypes[j] for j in active] * (many - 1)
        dtypes += [self.results[r].dtype for r in self.floats] * many
        return [np.asarray(x, dtype, order="C") for x, dtype in zip(xs, dtypes, strict=False)]

    def fault(self, fault: int) -> Exception:
        """The error that a run ended with."""
        name = self.dispatcher.__name__
        if fault == calling.SHAPE:
            return ValueError(
                f"njit: {name} returned an array of another shape than for the values it was tried "
                "with: say result_like= where shapes depend on values"
            )
        if fault == calling.MEMORY:
            return MemoryError(f"njit: the tape of {name} takes more memory than its budget")
        return memory.raised() or RuntimeError(f"njit: {name} raised an exception")


_RUN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


def _number(order: int, reverse: bool) -> Any:
    return active.mode(order, reverse) if order or reverse else numba.types.float64


def _results(ty: Any) -> tuple[tuple[Result, ...], Callable[[Any], Any]]:
    """The leaves of what a function returns, and what nests them."""
    leaves = []
    for path, leaf in paths(ty):
        if isinstance(leaf, numba.types.Array):
            leaves.append(Result(path, as_dtype(leaf.dtype), leaf.ndim))
        elif isinstance(leaf, numba.types.Number | numba.types.Boolean):
            dtype = as_dtype(numba.types.unliteral(leaf))
            leaves.append(Result(path, dtype, 0))
        else:
            raise TypeError(
                f"njit: a function that returns {leaf} has no result of numbers or arrays"
            )
    return tuple(leaves), functools.partial(_rebuilt, ty)


def _rebuilt(ty: Any, found: Any) -> Any:
    if isinstance(ty, numba.types.BaseTuple):
        items = [_rebuilt(inner, found) for inner in ty.types]
        return (
            ty.instance_class(*items)
            if isinstance(ty, numba.types.BaseNamedTuple)
            else tuple(items)
        )
    return next(found)


def _at(found: Any, path: str) -> Any:
    for index in path[1:-1].split("][") if path else ():
        found = found[int(index)]
    return found


def _given(x: Any, values: Sequence[Any], statics: Sequence[int]) -> Any:
    if isinstance(x, Leaf):
        value = np.array(values[x.number], x.dtype, order="C")
        value.flags.writeable = False
        return value if x.ndim else value[()]
    if isinstance(x, Static):
        return bool(statics[x.number]) if x.code == "b1" else statics[x.number]
    if isinstance(x, tuple):
        kind, items = x
        inner = [_given(item, values, statics) for item in items]
        return tuple(inner) if kind is tuple else kind(*inner)
    return x.value


def _stand_in(value: Any, aval: Any) -> Any:
    if value is not None:
        return value
    return np.linspace(0.5, 1.0, aval.size).reshape(aval.shape).astype(aval.dtype)


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
        differentiated; integers and flags are not.
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
