"""``pure_callback``: opaque Python as an operation, called with arrays when a program runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.api.written import NUMBERS, Parted, matching
from nbgrad.core.aval import alike, make_aval, several
from nbgrad.core.memory import host
from nbgrad.core.modes import modes
from nbgrad.core.primitive import Rules
from nbgrad.core.results import SeveralResults
from nbgrad.engine.demand import demand
from nbgrad.errors import NO_CALLBACK_RULE, NO_TANGENT
from nbgrad.ops.kinds.batching import all_stacked
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Host
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.custom import refused
from nbgrad.vocabulary.shapes import as_node

Func = Callable[..., Any]


@dataclass(frozen=True)
class Called:
    """A function of arrays, and the avals of its results.

    Attributes
    ----------
    f : callable
        Takes arrays and returns a list of such.
    avals : tuple of Aval
    name : str
    rule : callable or None
        Of the operands, the results and the cotangents of these: the cotangents of the operands.
    vectorized : bool
        Whether it takes stacks, too.
    """

    f: Func
    avals: tuple[Any, ...]
    name: str
    rule: Func | None = None
    vectorized: bool = False

    def __call__(self, *xs: Any) -> list[Any]:
        found = self.f(*xs)
        if len(found) != len(self.avals):
            raise ValueError(
                f"pure_callback: {self.name} returned {len(found)} arrays where result_like has "
                f"{len(self.avals)}"
            )
        return [_conforming(x, a, self.name) for x, a in zip(found, self.avals, strict=True)]

    def rows(self, size: int) -> Called:
        """The same for stacks of everything."""
        avals = tuple([alike(a, (size, *a.shape)) for a in self.avals])
        f = self.f if self.vectorized else _Rows(self.f, len(self.avals), size)
        rule = self.rule if self.vectorized or self.rule is None else _RowsOfRule(self.rule)
        return Called(f, avals, self.name, rule, self.vectorized)


def _conforming(x: Any, aval: Any, name: str) -> Any:
    array = np.asarray(host(x._node.value) if isinstance(x, Tensor) else x)
    if array.shape != aval.shape:
        raise ValueError(
            f"pure_callback: {name} returned an array of shape {array.shape} where result_like has "
            f"{aval.shape}"
        )
    if not np.can_cast(array.dtype, aval.dtype, "same_kind"):
        raise TypeError(
            f"pure_callback: {name} returned {array.dtype} where result_like has {aval.dtype}"
        )
    return np.array(array, aval.dtype, order="C")


@dataclass(frozen=True)
class _Rows:
    """A function called for one row after another."""

    f: Func
    count: int
    size: int

    def __call__(self, *xs: Any) -> list[Any]:
        rows = [self.f(*[np.asarray(x[k]) for x in xs]) for k in range(self.size)]
        if not rows:
            return [np.zeros((0,))] * self.count
        return [np.stack([np.asarray(x) for x in each]) for each in zip(*rows, strict=True)]


@dataclass(frozen=True)
class _RowsOfRule:
    """A rule of cotangents called for one row after another."""

    rule: Func

    def __call__(self, xs: Any, ys: Any, cts: Any) -> list[Any]:
        size = len(cts[0])
        rows = [
            self.rule(*[tuple([np.asarray(x[k]) for x in each]) for each in (xs, ys, cts)])
            for k in range(size)
        ]
        return [
            None if each[0] is None else np.stack([np.asarray(x) for x in each])
            for each in zip(*rows, strict=True)
        ]


@dataclass(frozen=True)
class _Pulled:
    """The cotangents of the operands, as a function of everything."""

    rule: Func
    operands: int
    results: int

    def __call__(self, *given: Any) -> list[Any]:
        n, m = self.operands, self.results
        xs, ys, cts = given[:n], given[n : n + m], given[n + m :]
        found = self.rule(xs, ys, cts)
        pairs = zip(found, xs, strict=True)
        return [np.zeros(x.shape) if g is None else g for g, x in pairs if x.dtype.kind in "fc"]


def _evaluate(*xs: Any, call: Called) -> Any:
    """Call the function, with its own arrays, as if nothing else was going on."""
    before = modes.grad, modes.tracing
    modes.grad, modes.tracing = False, 0
    try:
        found = call(*[np.array(x) for x in xs])
    finally:
        modes.grad, modes.tracing = before
    return found[0] if len(found) == 1 else tuple(found)


def _vjp(cts: Any, ys: Any, xs: Sequence[Any], params: Any, wants: Sequence[bool]) -> list[Any]:
    call = params["call"]
    ys, cts = (ys, cts) if len(call.avals) > 1 else ((ys,), (cts,))
    if call.rule is None:
        text = NO_CALLBACK_RULE.format(name=call.name)
        return [refused(x, text=text, aval=x.aval) for x in xs]
    given = [materialize(0.0 if ct is None else ct, y.aval) for ct, y in zip(cts, ys, strict=True)]
    inexact = [x for x in xs if x.aval.inexact]
    avals = tuple([x.aval for x in inexact])
    pulled = Called(_Pulled(call.rule, len(xs), len(ys)), avals, f"the vjp of {call.name}")
    found = iter(callback(*xs, *ys, *given, call=pulled))
    return [next(found) if x.aval.inexact else None for x in xs]


def _jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
    raise NotImplementedError(NO_TANGENT.format(name=params["call"].name))


def _batch(prim: Any, xs: Any, mapped: Any, params: Any, size: int) -> Any:
    found = prim(*all_stacked(xs, mapped, size), call=params["call"].rows(size))
    return found if len(found) > 1 else found[0]


callback = SeveralResults(
    name="callback",
    kind="opaque",
    evaluate=_evaluate,
    prepare=lambda xs, params: (xs, several(*params["call"].avals), ()),
    rules=Rules(_vjp, _jvp, _batch),
    lower=Host(),
    grad_name="Callback",
    doc="Opaque Python.",
    registered=False,
)


def pure_callback(
    f: Func,
    result_like: Any,
    *args: Any,
    vjp: Func | None = None,
    vectorized: bool = False,
) -> Any:
    """Call opaque Python on arrays: a function that nbgrad cannot trace, also inside ``jit``.

    The function is called when the result is computed, as often as that is, perhaps in another thread,
    or not at all if nobody needs the result: it must be pure.

    Parameters
    ----------
    f : callable
        Takes NumPy's arrays, nested as *args* are, and returns such, nested as *result_like*.
    result_like : array_like, or tuple, list or dict of such
        Shapes and dtypes of the results: arrays, or anything with ``shape`` and ``dtype``.
    *args : array_like, Tensor, or nest of such
    vjp : callable, optional
        ``vjp(args, result, cotangent)``, of arrays, returns a tuple: the cotangent of each argument,
        nested as that is, or None for zeros. It is opaque, too, so it is not differentiated again: for
        higher orders use :func:`custom_vjp` around a callback.
    vectorized : bool
        Under ``vmap``: whether *f* takes stacks, the batch in front, or is called for each row.

    Returns
    -------
    object
        Nested as *result_like*; arrays if all *args* are arrays, else tensors.

    Raises
    ------
    ValueError
        If what *f* returns has other shapes than *result_like*.
    RuntimeError
        If a derivative is asked for and there is no *vjp*, or a second one.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> def cube(x):
    ...     return np.array([float(v) ** 3 for v in x])
    >>> f = ng.jit(lambda x: ng.pure_callback(
    ...     cube, x, x, vjp=lambda args, out, ct: (3 * args[0] ** 2 * ct,)).sum())
    >>> f(np.array([1.0, 2.0])).item()
    9.0
    >>> ng.grad(f)(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    if not callable(f):
        raise TypeError(f"pure_callback: expected a function, not {type(f).__name__}")
    like = Parted(result_like, object)
    avals = tuple([_aval_of(x) for x in like.leaves])
    if not avals:
        raise TypeError("pure_callback: result_like has no arrays")
    given = Parted(args, NUMBERS)
    nodes = [x._node if isinstance(x, Tensor) else as_node(x) for x in given.values]
    tensors = any(isinstance(x, Tensor) for x in given.values)
    call = Called(
        _Nested(f, given, like),
        avals,
        getattr(f, "__name__", "the function"),
        None if vjp is None else _NestedRule(vjp, given, like),
        vectorized,
    )
    if not nodes:
        nodes = [as_node(0.0)]
    found = callback(*nodes, call=call)
    if modes.tracing:
        return like.filled([Tensor(n) for n in found])
    demand(list(found))  # so that an error shows this line
    if tensors:
        return like.filled([Tensor(n) for n in found])
    return like.filled([host(n.value) if n.ndim else host(n.value)[()] for n in found])


def _aval_of(x: Any) -> Any:
    if isinstance(x, (Tensor, np.ndarray, np.generic)) or hasattr(x, "shape"):
        return make_aval(tuple(x.shape), np.dtype(x.dtype))
    array = np.asarray(x)
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"pure_callback: result_like holds a {type(x).__name__}, which is no array"
        )
    return make_aval(array.shape, array.dtype)


class _Nested:
    """The user's function, of flat arrays; equal are those of one function and nest."""

    __slots__ = ("_key", "f", "given", "like", "name")

    def __init__(self, f: Func, given: Parted, like: Parted) -> None:
        self.f, self.given, self.like = f, given, like
        self.name = getattr(f, "__name__", "the function")
        for k in given.places:
            given.leaves[k] = None  # which hold memory
        others = tuple([_told(x) for x in given.leaves])
        self._key = (f, given.made, others, tuple(given.places), like.made)

    def __eq__(self, other: object) -> bool:
        return other.__class__ is self.__class__ and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __call__(self, *xs: Any) -> list[Any]:
        found = Parted(self.f(*self.given.filled(xs[: len(self.given.places)])), object)
        if found.made != self.like.made:
            raise ValueError(f"pure_callback: {self.name} returned another nest than result_like")
        return found.leaves


class _NestedRule(_Nested):
    """The user's vjp, of flat arrays."""

    __slots__ = ()

    def __call__(self, xs: Any, ys: Any, cts: Any) -> list[Any]:
        count = len(self.given.places)
        args = self.given.filled(xs[:count])
        found = self.f(args, self.like.filled(ys), self.like.filled(cts))
        what = f"pure_callback: what the vjp {self.name} returns"
        if not isinstance(found, (tuple, list)) or len(found) != len(args):
            raise TypeError(f"{what} must be a tuple of {len(args)}, one for each argument")
        stand_ins = self.given.filled([Tensor(as_node(0.0)) for _ in range(count)])
        flat = matching(tuple(stand_ins), tuple(found), what)
        return [*flat, *[None] * (len(xs) - count)]


def _told(x: Any) -> Any:
    """What tells an argument that is no array from another."""
    try:
        hash(x)
    except TypeError:
        return id(x)
    return x.__class__, x
