"""The short way: calls of one traced structure as machine code, once it has been called often.

What is served there from end to end has its results nested by that code, too, and what the function
read from outside looked at: tuples and lists, globals, closures. Other nesting and other state are
left to a Python function, which gets a list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import CellType
from typing import Any

import numpy as np

from nbgrad.api.outside import Reader
from nbgrad.backends.base import Ends
from nbgrad.config import Config, settings
from nbgrad.core.aval import Aval
from nbgrad.core.lazy import LazyModule, pattern
from nbgrad.core.modes import lines
from nbgrad.core.tape import Tape
from nbgrad.core.tree import LEAF, matcher
from nbgrad.engine.tiers import Executable

background = LazyModule("nbgrad.machine.background")
calling = LazyModule("nbgrad.twins.calling")

MAX_WHOLE = 1 << 24  # integers that are not below are settings
HOT_CALLS = 50  # of one structure, before its calls are machine code from end to end
SHARED = np.zeros(16, np.int64)  # words of ``twins.calling``
ONE, SEVERAL = 1, 2  # results, given as an array, or as a tuple of arrays
# Tests of a guard that machine code makes: of an object, or of a number that may be another, equal one.
_SAME = pattern(r"(v\d+)(?:\['(\w+)'\]|\.cell_contents) is (v\d+)")
_EQUAL = pattern(r"\((.+?) is (v\d+) or \1\.__class__ is (v\d+) and \1 == \2\)")


class Methods:
    """``__call__`` and ``into`` of a class: in Python, and once some function is hot, as machine code.

    ``configure(twins="off")`` puts those in Python back.
    """

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.python = {name: kind.__dict__[name] for name in ("__call__", "into")}
        self.code: dict[str, Any] | None = None
        self.wish: Any = None
        self.done = False
        settings.told.append(self.follow)

    def there(self) -> bool:
        """Whether there is nothing to wait for: the code is in use, or there will be none."""
        if self.wish is None:
            self.wish = background.Wish(lambda: calling.methods(self.kind, SHARED))
        if self.done:
            return True
        if settings.current.deterministic or not background.available():
            self.make()
        else:
            self.code, self.done = self.wish.get(), self.wish.done
            self.follow()
        return self.done

    def make(self) -> None:
        """Compile the code now."""
        if not self.done:
            self.code, self.done = calling.methods(self.kind, SHARED), True
        self.follow()

    def follow(self) -> None:
        """Use what the settings say."""
        code = None if settings.current.twins == "off" else self.code
        for name, function in (code or self.python).items():
            if self.kind.__dict__[name] is not function:
                setattr(self.kind, name, function)


class Short(ABC):
    """What of a :class:`Compiled` serves calls by machine code.

    ``quick`` is what a call needs: the settings it holds under, what finds the arrays among the
    arguments if these are not flat, the code, and what nests its results, unless the code does;
    for ``twins.calling`` also the words of the code, that which writes to given arrays, and how these are given.
    """

    tape: Tape
    made: Any
    rebuild: Callable[[list[Any]], Any]
    scalars: set[int]
    guard: Callable[[], bool] | None
    reader: Reader | None
    structure: Any
    numbers: Mapping[int, type]
    flat: bool

    @property
    @abstractmethod
    def exe(self) -> Executable:
        """The program."""

    def cool(self, warm: bool) -> None:
        """Begin to count calls, if it may turn hot."""
        self.calls, self.warm, self.quick = 0, warm, cold()

    def shortened(self, config: Config, methods: Methods, now: bool = False) -> bool:
        """Count a call; whether ``quick`` serves the next one like it under these settings."""
        self.calls += 1
        if config.twins == "off":
            return False
        hot = self.warm and self.calls >= HOT_CALLS and self.exe.compiled is not None
        if hot and methods.there():
            self.warm = False
            whole = {k: _whole for k, var in enumerate(self.tape.inputs) if _is_whole(var.aval)}
            # Machine code looks at arrays and numbers itself.
            known = self.flat and not whole
            match = None if known else matcher(self.structure, whole)
            if known or match is not None:
                self._ask(config, match, now)
        served = self.quick[2] is not None and config.tier in ("auto", "fused")
        if served and self.quick[0] is not config:
            self.quick = (config, *self.quick[1:])
        return served

    def hasten(self, config: Config, methods: Methods) -> None:
        """Compile now what calls take, as if there had been many."""
        if config.tier not in ("auto", "fused"):
            return
        self.exe.compile()
        if config.twins != "off":
            methods.make()
            self.calls = max(self.calls, HOT_CALLS)
            self.shortened(config, methods, now=True)

    def _ask(self, config: Config, match: Any, now: bool) -> None:
        """Find the code; it is asked for again while it is being made."""
        tests = [] if self.reader is None else tests_of(self.reader)
        made = None if tests is None else stacked(self.made)
        n = len(self.tape.outputs)
        ends = Ends(self.numbers, self.scalars, made or [*[-1] * n, 2 * n + 1], tests or [])
        found = self.exe.entry(ends, now)
        self.warm = self.exe.entering
        if found is not None:
            enter, into, words = found
            finish = None if made else self._finish()
            given = ONE if self.made == LEAF else SEVERAL if self.rebuild is tuple else 0
            self.quick = (config, match, enter, finish, SHARED, words, into, given)

    def _finish(self) -> Callable[[list[Any]], Any]:
        """Nests what machine code made, but returns it as it came if ``guard`` does not hold any more."""
        reader = self.reader
        return self.rebuild if reader is None else reader.guarded_builder(self.made, ())

    def short_way(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result by machine code; None for arguments that are not as the last ones were."""
        _, match, enter, finish = self.quick[:4]
        given = match(args, kwargs) if match is not None else None if kwargs else args
        outs = None if given is None else enter(*given)
        if outs is None or finish is None:
            return outs
        found = finish(outs)
        return None if found is outs else found

    def written(self, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> bool:
        """Whether machine code has written the results to *out*: an array, or a tuple of them."""
        _, match, _, _, _, _, into, given = self.quick
        outs = (out,) if given == ONE else out if given == SEVERAL else None
        if lines.on or outs.__class__ is not tuple or not (self.guard is None or self.guard()):
            return False
        found = (None if kwargs else args) if match is None else match(args, kwargs)
        return found is not None and into(*found, *outs) is True


def cold() -> tuple[Any, ...]:
    """``quick`` of what machine code does not serve."""
    return (None, None, None, None, SHARED, None, None, 0)


def stacked(structure: Any) -> list[int] | None:
    """How tuples and lists of results are put together: -1 takes a result, 2 n makes a tuple of n, 2 n + 1 a list.

    None for other containers, and for what is no result.
    """
    if structure == LEAF:
        return [-1]
    kind, keys, content = structure
    if kind not in (tuple, list) or keys is not None:
        return None
    parts = [stacked(part) for part in content]
    found = [op for part in parts for op in part or ()]
    return None if None in parts else [*found, 2 * len(parts) + (kind is list)]


def tests_of(reader: Reader) -> list[tuple[Any, ...]] | None:
    """What machine code has to compare: where an object is, which it was, and of which class are its equals.

    None if any test is of another kind.
    """
    found = []
    for text in reader.tests:
        equal = _EQUAL.fullmatch(text)
        path, kind = (f"{equal[1]} is {equal[2]}", equal[3]) if equal else (text, "")
        same = _SAME.fullmatch(path)
        if same is None:
            return None
        holder, key, value = reader.space[same[1]], same[2], reader.space[same[3]]
        if holder.__class__ is not (CellType if key is None else dict):
            return None
        found.append((holder, key, value, reader.space[kind] if kind else None))
    return found


def _is_whole(aval: Aval) -> bool:
    return aval.weak and aval.dtype.kind == "i"


def _whole(x: Any) -> Any:
    """An integer as machine code takes it; something that it does not take if it is none."""
    return np.array(x, np.int64) if x.__class__ is int and -MAX_WHOLE < x < MAX_WHOLE else None
