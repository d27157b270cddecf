"""A function for arguments of certain types: what the operation has as its param."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import numba
import numpy as np
from numba import types

from nbgrad.backends.base import Unsaid
from nbgrad.config import settings
from nbgrad.core.aval import make_aval
from nbgrad.core.forks import compiling
from nbgrad.core.node import constant
from nbgrad.core.telling import step
from nbgrad.core.values import known_value
from nbgrad.machine import numba_whole, quiet
from nbgrad.machine.lljit import uninterrupted
from nbgrad.machine.numba_inside import NumbaError, as_dtype
from nbgrad.machine.request import ASKED, MEMORY, RAISED, SHAPE, UNSAID, WROTE
from nbgrad.native import active, calling, draws, frozen, stored
from nbgrad.native.arguments import Arguments, leaves_in, passed
from nbgrad.native.cloning import alike, named
from nbgrad.native.entry import paths, reason
from nbgrad.native.forms import Leaf, Request, Result
from nbgrad.native.routes import code_of

NOT_AS_DECLARED: Final = (
    "njit: {} was given signatures, of which none takes these arguments as they are and returns what the function "
    "makes of them: leave the signatures out, or pass what they say"
)


class Specialized:
    """A function for arguments of certain types: what the operation has as its param.

    ``leaves`` is the number of operands, ``floats`` are the results that have derivatives.
    """

    def __init__(
        self, dispatcher: Any, arguments: tuple[Any, ...], found: Arguments, marks: frozen.Marks
    ) -> None:
        if "objmode" in named(dispatcher.py_func.__code__):
            raise TypeError(
                f"njit: {dispatcher.__name__} runs Python by objmode, where nothing follows derivatives: "
                "take what it does out of the function"
            )
        self.dispatcher, self.arguments, self.marks = dispatcher, arguments, marks
        self.operands = tuple(found.leaves)
        self.statics = tuple(found.statics)
        self.leaves = len(self.operands)
        self.results, self._nest = self._returned()
        self.floats = tuple([r for r, leaf in enumerate(self.results) if leaf.inexact])
        groups = [x for x in self.arguments if isinstance(x, tuple)]
        if self.dispatcher.py_func.__code__.co_flags & inspect.CO_VARARGS:
            count = self.dispatcher.py_func.__code__.co_argcount
            groups.append((tuple, self.arguments[count:]))
        self._groups = [{x.number for x in leaves_in(g) if x.dtype.kind in "fc"} for g in groups]
        self._shapes: dict[Any, Any] = {}
        self._codes: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<{self.dispatcher.__name__}>"

    def _returned(self) -> tuple[tuple[Result, ...], Any]:
        """The leaves of what the function returns, and how they are nested."""
        key = stored.Key(self.dispatcher, self.arguments, "results")
        held = stored.found(key)
        if held is not None:
            told = [Result(path, np.dtype(code), ndim) for path, code, ndim in held[0]["leaves"]]
            return tuple(told), _nest_of(held[0]["nest"], key.classes)
        ty = self._typed()
        leaves, nest = _results(ty), _nest(ty)
        named = _told(nest, key.classes)
        if named is not None:
            said = [(x.path, x.dtype.str, x.ndim) for x in leaves]
            stored.keep(key, {"leaves": said, "nest": named})
        return leaves, nest

    def _typed(self) -> Any:
        """The type that the function returns, as Numba finds it."""
        kinds = tuple([calling.type_of(x, _float) for x in self.arguments])
        try:
            with compiling, uninterrupted(), quiet.numba(), numba_whole.contexts_if_possible():
                typed = numba_whole.copied(self.dispatcher)
                _, _, args, _ = typed.get_call_template(kinds, {})
                if tuple(args) not in typed.overloads:
                    raise TypeError(NOT_AS_DECLARED.format(self.dispatcher.__name__))
                return typed.overloads[tuple(args)].signature.return_type
        except AttributeError as error:  # Numba's, of += to what is not written
            raise TypeError(
                f"njit: {self.dispatcher.__name__} cannot be called with these: Numba fails at it ({error}), as "
                "it does at x += 1 where x is an argument: copy that first, as by x = x.copy()"
            ) from error
        except NumbaError as error:
            said, line = reason(error, self.dispatcher.py_func)
            where = f"{self.dispatcher.py_func.__code__.co_filename}, line {line}"
            name = self.dispatcher.__name__
            if "setitem(readonly array" in said:
                raise TypeError(
                    f"njit: {name} writes into an argument, which may be a tensor that others read: "
                    f"copy it first, as by x = x.copy() ({where})"
                ) from None
            raise TypeError(
                f"njit: {name} cannot be called with these: {said} ({where})"
            ) from None

    def together(self, chosen: set[int]) -> tuple[int, ...]:
        """Leaves that are to be active, with those that stand beside one in a tuple."""
        found = set(chosen)
        for group in self._groups:
            if not found.isdisjoint(group):
                found |= group
        return tuple(sorted(found))

    def nested(self, found: Sequence[Any]) -> Any:
        """Results as the function nests them."""
        return _rebuilt(self._nest, iter(found))

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
        """Shapes, from a run of the function that is asked for them alone."""
        code = self.code((), 0, False)
        dtypes = [leaf.dtype for leaf in self.operands]
        given = [np.asarray(x, dtype, order="C") for x, dtype in zip(values, dtypes, strict=True)]
        words = [w for x in given for w in (x.ctypes.data, *x.shape)] + list(statics)
        first = len(words)
        words += [w for leaf in self.results for w in (0, *[ASKED] * leaf.ndim)]
        table = np.array(words, np.int64)
        fault = _RUN(code.address)(table.ctypes.data)
        if fault != SHAPE:
            self._raise(fault, given, statics)
        found, avals = iter(table[first:].tolist()), []
        for leaf in self.results:
            next(found)
            avals.append(make_aval(tuple([next(found) for _ in range(leaf.ndim)]), leaf.dtype))
        return avals

    def plain(self, values: Sequence[Any], statics: tuple[int, ...]) -> Any:
        """What the user's function itself returns for arrays."""
        return self.dispatcher(*[passed(x, values, statics) for x in self.arguments])

    # --------------------------------------------------------------------------------- running

    def code(
        self, active: tuple[int, ...], order: int, reverse: bool, values: bool = False
    ) -> Any:
        """Machine code for a derivative."""
        key = active, order, reverse, values
        other = self._codes.get((active, order, reverse, not values))
        if key not in self._codes and other is not None and other.values and not other.always:
            self._codes[key] = other  # it gives them, or does not
        if key not in self._codes:
            frozen.check(self.dispatcher, self.marks)
            if order or reverse:
                draws.check(self.dispatcher)
            number = _number(order, reverse)
            request = Request(
                self.dispatcher, self.arguments, self.operands, self.statics, self.results,
                active, order, reverse, number, values,
            )  # fmt: skip
            told = (
                f"{'a derivative of ' * bool(order or reverse)}njit of {self.dispatcher.__name__}"
            )
            with compiling, uninterrupted(), quiet.numba(), step("compiling", lambda: told):
                self._codes[key] = code_of(request)
        return self._codes[key]

    def code_of(self, params: dict[str, Any]) -> Any:
        """Machine code for the operation with these params."""
        return self.code(params["active"], params["order"], params["reverse"], params["values"])

    def gives_values(self, active: tuple[int, ...], order: int) -> bool:
        """Whether the code of a reverse sweep gives the values of the function, too."""
        try:
            return bool(self.code(active, order, True, True).values)
        except (TypeError, MemoryError):  # told when it is run
            return False

    def run(
        self,
        xs: Sequence[Any],
        statics: Any,
        active: Any,
        order: int,
        reverse: bool,
        values: bool = False,
    ) -> list[Any]:
        """Results as arrays; with *values* those of the function before those of a reverse sweep."""
        code = self.code(active, order, reverse, values)
        many = 1 << order
        dtypes = [leaf.dtype for leaf in self.operands]
        dtypes += [self.operands[j].dtype for _ in range(many - 1) for j in active]
        dtypes += [self.results[r].dtype for _ in range(many) for r in self.floats if reverse]
        # What is constant may come as a number of Python's.
        given = [np.asarray(x, dtype, order="C") for x, dtype in zip(xs, dtypes, strict=True)]
        if reverse:
            outs = [np.empty_like(given[j]) for _ in range(many) for j in active]
        first: list[Any] = []
        if values or not reverse:
            avals = self.avals([constant(x) for x in given[: self.leaves]], statics)
            first = [np.empty(a.shape, a.dtype) for a in avals]
        if not reverse:
            outs = first + [np.empty_like(first[r]) for _ in range(many - 1) for r in self.floats]
        words: list[int] = []
        for x in given:
            words += [x.ctypes.data, *x.shape]
        words += statics
        for x in outs:
            words += [x.ctypes.data, *x.shape]
        if reverse:
            for x in first:
                words += [x.ctypes.data, *x.shape]
            words += [0] * (0 if values else code.values)
        table = np.array(words, np.int64)
        fault = _RUN(code.address)(table.ctypes.data)
        if fault:
            self._raise(fault, given[: self.leaves], statics)
        return [*first, *outs] if values else outs

    def _raise(self, fault: int, given: list[Any], statics: Any) -> NoReturn:
        """Raise what a run ended with."""
        # What it raised with values in its text is known when it is run by Numba itself.
        unsaid = fault == RAISED and calling.raised() is None
        if unsaid or fault == UNSAID:
            self.plain(given, statics)
        raise self.fault(fault)

    def fault(self, fault: int) -> Exception:
        """The error that a run ended with."""
        name = self.dispatcher.__name__
        if fault == SHAPE:
            return ValueError(
                f"njit: {name} returned an array of another shape than for the values it was tried "
                "with, as jit knows no values: let shapes depend on shapes and integers alone there"
            )
        if fault == WROTE:
            return TypeError(
                f"njit: {name} writes into an argument, which may be a tensor that others read: copy it first, as "
                "by x = x.copy()"
            )
        if fault == MEMORY:
            return MemoryError(
                f"njit: the tape of {name} takes more memory than nbgrad.configure(tape_bytes="
                f"{settings.current.tape_bytes}) allows, or than there is: raise that, call it for "
                "smaller parts, or put the loop into a scan"
            )
        found = calling.raised() if fault == RAISED else None
        return found or Unsaid(f"njit: {name} raised an exception")


_RUN = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


def _float(leaf: Leaf) -> Any:
    return numba.from_dtype(leaf.dtype)


def _number(order: int, reverse: bool) -> Any:
    return active.mode(order, reverse) if order or reverse else types.float64


def as_declared(dispatcher: Any, made: Specialized) -> bool:
    """Whether a signature that *dispatcher* was given says what *made* takes and returns: it converts nothing."""
    kinds = [types.unliteral(calling.type_of(x, _float)) for x in made.arguments]
    return any(
        all(alike(x, y) for x, y in zip(kinds, given, strict=False))
        and _results(overload.signature.return_type) == made.results
        for given, overload in dispatcher.overloads.items()
    )


def _results(ty: Any) -> tuple[Result, ...]:
    """The leaves of what a function returns."""
    leaves = []
    for path, leaf in paths(ty):
        if isinstance(leaf, types.Array) and isinstance(leaf.dtype, types.Number | types.Boolean):
            leaves.append(Result(path, as_dtype(leaf.dtype), leaf.ndim))
        elif isinstance(leaf, types.Number | types.Boolean):
            dtype = as_dtype(types.unliteral(leaf))
            leaves.append(Result(path, dtype, 0))
        else:
            raise TypeError(
                f"njit: a function that returns {leaf} has no result of numbers or arrays alone: return an "
                "array of a list, and a number such as nan in the place of None"
            )
    return tuple(leaves)


# A nest is None, of a leaf, or a class of tuples with the nests of its items.


def _nest(ty: Any) -> Any:
    if not isinstance(ty, types.BaseTuple):
        return None
    kind = ty.instance_class if isinstance(ty, types.BaseNamedTuple) else tuple
    return kind, [_nest(inner) for inner in ty.types]


def _told(nest: Any, classes: list[Any]) -> Any:
    """A nest as data, with classes by their numbers; None if one has none."""
    if nest is None:
        return 0
    kind, items = nest
    told = [_told(item, classes) for item in items]
    if None in told or kind not in (tuple, *classes):
        return None
    return [-1 if kind is tuple else classes.index(kind), told]


def _nest_of(told: Any, classes: list[Any]) -> Any:
    if told == 0:
        return None
    number, items = told
    kind = tuple if number < 0 else classes[number]
    return kind, [_nest_of(item, classes) for item in items]


def _rebuilt(nest: Any, found: Any) -> Any:
    if nest is None:
        return next(found)
    kind, inner = nest
    items = [_rebuilt(item, found) for item in inner]
    return tuple(items) if kind is tuple else kind(*items)


def _stand_in(value: Any, aval: Any) -> Any:
    if value is not None:
        return value
    return np.linspace(0.5, 1.0, aval.size).reshape(aval.shape).astype(aval.dtype)
