"""Whether what a compiled function read from outside is as it was: arrays, containers, sources."""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from operator import is_
from types import BuiltinMethodType, CellType, FunctionType, MethodType
from typing import Any

import numpy as np

from nbgrad.core.lazy import pattern
from nbgrad.tensors.creation import frozen

Guard = Callable[[], bool]
CHUNK = 1 << 16  # bytes of an array that are compared at a time, so that they stay in the cache
_CELL = pattern(r"\b(v\d+)\.cell_contents\b")
# Packages whose containers compare themselves.
_COMPARING = ("pandas", "polars", "xarray")
_SOURCES = {("numpy", "Generator"), ("numpy", "RandomState"), ("numpy", "BitGenerator")}
_PYTHONS: Any = random.random.__self__  # type: ignore[attr-defined]
_SOURCES |= {("random", "Random"), ("_random", "Random")}


def unchanged(array: np.ndarray[Any, Any]) -> Guard:
    """Return the test that the elements of *array* are as they are now.

    Those of an array that nobody can write to are not looked at.
    """
    if frozen(array):
        return lambda: not array.flags.writeable
    if array.dtype.hasobject:
        elements = tuple(array.flat)
        return lambda: len(elements) == array.size and all(map(is_, array.flat, elements))
    shape, dtype, strides = array.shape, array.dtype, array.strides
    if array.flags.c_contiguous:
        flat = np.asarray(array).reshape(-1).view(np.uint8)
        parts = [flat[k : k + CHUNK] for k in range(0, flat.size, CHUNK)]
    else:
        parts = [array]
    pairs = [(part.tobytes, part.tobytes()) for part in parts]
    now, before = pairs[0] if pairs else (array.tobytes, b"")
    rest = pairs[1:]

    def same() -> bool:
        return (
            array.shape == shape
            and array.dtype is dtype
            and array.strides == strides
            and now() == before
            and (not rest or all(now() == before for now, before in rest))
        )

    return same


def same_items(x: Any, before: tuple[Any, ...]) -> bool:
    if len(x) != len(before):
        return False
    if isinstance(x, dict):
        return all(k is j and v is w for (k, v), (j, w) in zip(x.items(), before, strict=True))
    return all(map(is_, x, before))


def alike(x: Any) -> Guard | None:
    """Return the test that a container of another library holds what it does now.

    None if *x* is no such container.
    """
    if type(x).__module__.partition(".")[0] not in _COMPARING or not hasattr(x, "equals"):
        return None
    before = x.clone() if hasattr(x, "clone") else x.copy(deep=True)
    return lambda: bool(x.equals(before))


def is_iterator(x: Any) -> bool:
    """Whether *x* is an iterator of Python's own: to read it is to change it, and leaves no trace."""
    kind = type(x)
    return isinstance(x, Iterator) and kind.__module__ in ("builtins", "itertools")


class Sources:
    """Sources of random numbers, as they are now: those given, and Python's and NumPy's own."""

    def __init__(self, given: Iterable[Any]) -> None:
        self.given = list(given)
        self.states = self._states()

    def drawn(self) -> list[bool]:
        """Whether each has been drawn from since: of those given, then of the others."""
        now = self._states()
        return [now[k] != before for k, before in self.states.items()]

    def more(self) -> bool:
        """Whether NumPy's own has been loaded since: what it was before is not known."""
        return len(self._states()) > len(self.states)

    def _states(self) -> dict[Any, bytes]:
        found: dict[Any, Any] = dict(enumerate([*self.given, _PYTHONS]))
        # NumPy loads it when it is asked for, which takes a tenth of a first call. Its own draws two normal numbers at
        # once, and has the second one in its state.
        if "numpy.random" in sys.modules:
            numpys: Any = np.random.get_state
            found["numpy"] = numpys.__self__
        return {k: pickle.dumps(_state(x)) for k, x in found.items()}


def is_source(x: Any) -> bool:
    """Whether *x* is one of Python's or NumPy's generators of random numbers."""
    kinds = {(str(base.__module__).partition(".")[0], base.__name__) for base in type(x).__mro__}
    return not kinds.isdisjoint(_SOURCES)


def source_of(x: Any) -> Any:
    """The generator that *x* is a method of, or that SciPy's distribution draws from; or None."""
    owner = None
    if isinstance(x, (MethodType, BuiltinMethodType)):  # others may answer to any name
        owner = x.__self__
    elif str(type(x).__module__).startswith("scipy.") and hasattr(type(x), "random_state"):
        owner = x.random_state
    return owner if is_source(owner) else None


def _state(x: Any) -> Any:
    if hasattr(x, "bit_generator"):
        x = x.bit_generator
    if hasattr(x, "state"):
        return x.state
    return x.getstate() if hasattr(x, "getstate") else x.get_state(legacy=False)


def defined(name: str, lines: list[str], space: dict[str, Any]) -> Callable[..., Any]:
    """The function that *lines* define; cells in *space* are its own, which reads them at once."""
    text = "\n".join(lines)
    cells = {n: space[n] for n in dict.fromkeys(_CELL.findall(text)) if _is_cell(space.get(n))}
    text = _CELL.sub(lambda m: f"{m[1]}_" if m[1] in cells else m[0], text)
    body = [f"    {line}" for line in [*text.split("\n"), f"return {name}"]]
    held = {**space}
    exec("\n".join([f"def made({', '.join(f'{n}_' for n in cells)}):", *body]), held)
    function: Any = held["made"](*[None] * len(cells))
    held.clear()  # a function that its own globals hold would live until the collector comes
    code = function.__code__
    closure = tuple([cells[n[:-1]] for n in code.co_freevars])
    return FunctionType(code, space, name, None, closure)


def _is_cell(x: Any) -> bool:
    return isinstance(x, CellType)
