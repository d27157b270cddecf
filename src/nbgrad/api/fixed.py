"""Static arguments: those that the user says are settings, told apart by equality and hash."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from nbgrad.api.statics import names_of_positions, static
from nbgrad.core.tree import LEAF, STATIC, Same, key_of
from nbgrad.errors import NOT_STATIC
from nbgrad.tensors.tensor import Tensor

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Fixed:
    """Which arguments of a function are named by the user, for one option of ``jit``.

    Parameters
    ----------
    f : callable
    option : str
        ``static`` or ``donate``: what the options ``<option>_argnums`` and ``_argnames`` ask for.
    argnums : int or iterable of int
    argnames : str or iterable of str

    Raises
    ------
    TypeError, ValueError
        For what is no number or name of an argument.
    """

    def __init__(self, f: Callable[..., Any], option: str, argnums: Any, argnames: Any) -> None:
        places = _numbers(argnums, option)
        names = _names(argnames, option)
        try:
            parameters = list(inspect.signature(f).parameters.values())
        except (TypeError, ValueError):
            parameters = None
        self.f = f
        if parameters is not None:
            places, names = _resolved(parameters, places, names, option)
        self.places, self.names = frozenset(places), frozenset(names)

    def __bool__(self) -> bool:
        return bool(self.places or self.names)

    def at(self, k: int, count: int) -> bool:
        """Whether positional argument *k* of *count* is one of them."""
        return k in self.places or k - count in self.places

    def structures(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[int | str, tuple[Any, Any, Any]]:
        """What stands for each static argument in the structure of all, by place or name.

        Raises
        ------
        TypeError
            For one that is an array, or not hashable.
        """
        count = len(args)
        found: dict[int | str, Any] = {k: x for k, x in enumerate(args) if self.at(k, count)}
        found |= {name: x for name, x in kwargs.items() if name in self.names}
        return {k: (STATIC, type(x), self._standing(x, k, count)) for k, x in found.items()}

    def _standing(self, x: Any, place: int | str, count: int) -> Any:
        try:
            return standing(x)
        except TypeError as error:
            name = place if isinstance(place, str) else names_of_positions(self.f, count)[place]
            message = NOT_STATIC.format(name=name, kind=type(x).__qualname__, why=error)
            raise TypeError(message) from None


def standing(x: Any) -> Any:
    """What stands for a static argument: a ``Same`` that equals those of what equals *x*."""
    if _holds_array(x):
        raise TypeError("its numbers are no setting")
    if isinstance(x, (FunctionType, MethodType)):
        return static(x)
    hash(x)
    own: Any = type(x).__eq__
    if own is object.__eq__:
        return static(x)  # like itself alone; refused if it has a state that leaves no trace
    key = key_of(x)
    hash(key)
    return Same(x, key)


def _holds_array(x: Any) -> bool:
    if isinstance(x, (tuple, frozenset)):
        return any(map(_holds_array, x))
    return isinstance(x, (np.ndarray, Tensor))


def replaced(structure: Any, held: dict[int | str, Any]) -> Any:
    """The structure of ``(args, kwargs)`` with what *held* has in the place of None."""
    kind, keys, (positional, keywords) = structure
    parts = [held.get(k, part) for k, part in enumerate(positional[2])]
    named = [held.get(n, p) for n, p in zip(keywords[1], keywords[2], strict=True)]
    args = (positional[0], positional[1], tuple(parts))
    return kind, keys, (args, (keywords[0], keywords[1], tuple(named)))


def leaf_places(structure: Any) -> tuple[list[range], dict[str, range]]:
    """The places among all leaves of those of each argument, by position and by name."""
    _, _, (positional, keywords) = structure
    start, places = 0, []
    for part in (*positional[2], *keywords[2]):
        n = _count(part)
        places.append(range(start, start + n))
        start += n
    first = len(positional[2])
    return places[:first], dict(zip(keywords[1], places[first:], strict=True))


def _count(structure: Any) -> int:
    if structure == LEAF:
        return 1
    return 0 if structure[0] == STATIC else sum(map(_count, structure[2]))


def _numbers(given: Any, option: str) -> list[int]:
    try:
        one = operator.index(given)
    except TypeError:
        pass
    else:
        return [one]
    try:
        return [operator.index(k) for k in given]
    except TypeError:
        raise TypeError(
            f"jit: {option}_argnums must be an int or several, not {given!r}"
        ) from None


def _names(given: Any, option: str) -> list[str]:
    found = [given] if isinstance(given, str) else list(given) if _several(given) else [given]
    if not all(isinstance(name, str) for name in found):
        raise TypeError(f"jit: {option}_argnames must be a str or several, not {given!r}")
    return found


def _several(given: Any) -> bool:
    return isinstance(given, Iterable)


def _resolved(
    parameters: list[inspect.Parameter], places: list[int], names: list[str], option: str
) -> tuple[list[int], list[str]]:
    """Places and names, each with what it is called the other way: an argument is passed either way."""
    by_place = [p for p in parameters if p.kind in _BY_PLACE]
    kinds = {p.kind for p in parameters}
    count, open_ended = len(by_place), inspect.Parameter.VAR_POSITIONAL in kinds
    for k in places:
        if not open_ended and not -count <= k < count:
            raise ValueError(
                f"jit: {option}_argnums has {k}, and the function takes {count} positional arguments"
            )
    known = {p.name for p in parameters if p.kind is not inspect.Parameter.POSITIONAL_ONLY}
    if inspect.Parameter.VAR_KEYWORD not in kinds and (unknown := set(names) - known):
        raise ValueError(
            f"jit: {option}_argnames has {', '.join(map(repr, sorted(unknown)))}, and the function "
            f"has {', '.join(map(repr, sorted(known)))}"
        )
    counted = {k if k >= 0 or open_ended else k + count for k in places}
    found = {by_place[k].name for k in counted if -count <= k < count}
    also = {k for k, p in enumerate(by_place) if p.name in names}
    return [*(counted | also)], [*({*names} | found)]
