"""Which arguments a transform differentiates by, and how it nests what it finds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.api.statics import names_of_positions

Argnums = int | Sequence[int] | None
Argnames = str | Sequence[str] | None


class Wanted:
    """The arguments to differentiate by, as the user has named them.

    Parameters
    ----------
    argnums : int, sequence of int or None
        Positions, from the end if negative; None stands for 0, or for none if there are names.
    argnames : str, sequence of str or None
    name : str
        Of the transform, which errors show.
    """

    __slots__ = ("argnames", "argnums", "counted", "first", "high", "low", "name")

    def __init__(self, argnums: Argnums, argnames: Argnames, name: str) -> None:
        self.name = name
        self.argnums: int | tuple[int, ...] | None = None
        self.argnames: str | tuple[str, ...] | None = None
        if argnums is None:
            self.argnums = 0 if argnames is None else None
        elif isinstance(argnums, (list, tuple, range)):
            self.argnums = tuple([self._position(k) for k in argnums])
        else:
            self.argnums = self._position(argnums)
        if argnames is not None:
            self.argnames = argnames if isinstance(argnames, str) else tuple(argnames)
            if not all(isinstance(n, str) for n in self._names()):
                raise TypeError(f"{name}: argnames={argnames!r} must be names of arguments")

        # Those that are counted from the front alone, found in a call of more arguments than high.
        self.counted = self._positions() if self.argnames is None else ()
        self.low, self.high = min(self.counted, default=-1), max(self.counted, default=0)
        # The only one, if it is counted from the front and not one of a sequence.
        single = self.argnames is None and isinstance(self.argnums, int) and self.argnums >= 0
        self.first: Any = self.argnums if single else None

    def _position(self, k: Any) -> int:
        try:
            return operator.index(k) if not isinstance(k, bool) else operator.index("")  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(
                f"{self.name}: argnums must be an integer or a sequence of integers, not {k!r}; "
                "arguments are named by argnames="
            ) from None

    def _positions(self) -> tuple[int, ...]:
        if self.argnums is None:
            return ()
        return self.argnums if isinstance(self.argnums, tuple) else (self.argnums,)

    def _names(self) -> tuple[str, ...]:
        if self.argnames is None:
            return ()
        return self.argnames if isinstance(self.argnames, tuple) else (self.argnames,)

    def places(
        self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[int | str]:
        """Where the arguments of a call are: positions from 0 up, and keywords."""
        count = len(args)
        if self.first is not None and self.first < count:
            return [self.first]
        if self.low >= 0 and self.high < count:
            return [*self.counted]
        found: list[int | str] = []
        for k in self._positions():
            if not -count <= k < count:
                raise TypeError(
                    f"{self.name}: argnums contains {k}, but the function was called with {count} "
                    "positional arguments"
                )
            found.append(k % count)
        for name in self._names():
            names = names_of_positions(f, count)
            if name not in kwargs and name not in names:
                given = ", ".join([*names, *kwargs]) or "no arguments"
                raise TypeError(
                    f"{self.name}: argnames contains {name!r}, but the function was called with "
                    f"{given}"
                )
            found.append(name if name in kwargs else names.index(name))
        return found

    def nest(self, found: Sequence[Any]) -> Any:
        """One result for each place as the user asked for them.

        By one position or name it is that result; by a sequence of positions a tuple, of names a
        dictionary; by both, the pair of these.
        """
        if self.first is not None:
            return found[0]
        if self.argnames is None and isinstance(self.argnums, tuple):
            return tuple(found)
        count = len(self._positions())
        by_position = tuple(found[:count])
        by_name = dict(zip(self._names(), found[count:], strict=True))
        first = (
            by_position if isinstance(self.argnums, tuple) else by_position[0] if count else None
        )
        second = by_name if isinstance(self.argnames, tuple) else (*by_name.values(), None)[0]
        if self.argnames is None:
            return first
        return second if self.argnums is None else (first, second)


def split_aux(returned: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    """The result to differentiate, and what the function returned beside it."""
    if not has_aux:
        return returned, None
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        raise TypeError(
            f"{name}: with has_aux=True the function must return a pair, its result and what is "
            f"not differentiated, not {_shown(returned)}"
        )
    return returned[0], returned[1]


def _shown(x: Any) -> str:
    size = f" of {len(x)}" if isinstance(x, (tuple, list)) else ""
    return f"a {type(x).__name__}{size}"
