"""Functions that solvers call: traced once, compiled, and called by pointer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, Final

import numpy as np

from nbgrad.api.arguments import as_input
from nbgrad.api.jit import jit
from nbgrad.api.outside import Reader
from nbgrad.backends.devices import pointed
from nbgrad.config import settings
from nbgrad.core.memory import host
from nbgrad.core.values import value_of
from nbgrad.errors import ConcretizationError
from nbgrad.tensors.tensor import Tensor

RECENT: Final = 16  # functions without attributes whose programs are kept
ATTRIBUTE: Final = "_nbgrad_solvers"


class Function:
    """What a solver calls, of a vector and further arguments: traced for each structure of them."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f, self.jitted = f, jit(f)

    def found(self, xs: tuple[Any, ...], args: tuple[Any, ...]) -> Evaluation:
        """The function for arguments like these, and the values of all but the vectors *xs*."""
        try:
            leaves, entry = self.jitted.traces.find(settings.current, (*xs, *args), {})
        except ConcretizationError:  # it looks at values: it is recorded anew at each point
            tracked = bool(Reader([self.f], tracking=True).tracked)
            return Evaluation(self.f, None, (*xs, *args), tracked)
        except (
            TypeError
        ):  # of the user's, which is raised at the start, or of what cannot be traced
            return Evaluation(self.f, None, (*xs, *args), True)
        if entry is None or entry.checked or settings.current.tier not in ("auto", "fused"):
            return Evaluation(self.f, None, (*xs, *args), entry is None or bool(entry.outside))
        values = [
            _number(a) if isinstance(a, Tensor) else a if k < len(xs) else as_input(a, v)
            for k, (a, v) in enumerate(zip(leaves, entry.tape.inputs, strict=False))
        ]
        return Evaluation(self.f, entry, values, bool(entry.outside))


class Evaluation:
    """A traced function, *entry*, or one that is called as it is, and its arguments.

    *tracked* says that it reads tensors from outside that require grad.
    """

    __slots__ = ("entry", "f", "tracked", "values")

    def __init__(self, f: Any, entry: Any, values: Sequence[Any], tracked: bool) -> None:
        self.f, self.entry, self.values, self.tracked = f, entry, values, tracked

    def shapes(self) -> list[tuple[int, ...]] | None:
        """The shapes of the results, if they are known."""
        return None if self.entry is None else [a.aval.shape for a in self.entry.outputs]

    def called(self) -> Any:
        """The result at the first of its arguments, where nothing is traced."""
        found = self.f(*self.values)
        return _number(found) if isinstance(found, Tensor) else found

    def pointed(self, inputs: Sequence[Any], results: Sequence[Any]) -> Any:
        """A pointer to it, which reads arrays *inputs*, the first ones, and writes to arrays *results*."""
        entry = self.entry
        if entry is not None:
            runner = entry.exe.compile()
            fit = [a.aval.dtype == np.float64 for a in runner.tape.outputs]
            if pointed.framed(runner) and all(fit) and not entry.exe.complex:
                moving = {k: x.ctypes.data for k, x in enumerate(inputs)}
                places = [y.ctypes.data for y in results]
                return pointed.Framed(runner, entry.exe.constants, moving, places)
        call = self._traced if entry is not None else self._called
        return pointed.Hosted(lambda values: call(inputs, results, values))

    def _traced(
        self, inputs: Sequence[Any], results: Sequence[Any], values: Sequence[Any]
    ) -> None:
        given = [x.copy() for x in inputs]
        found = self.entry.exe.run([*given, *values[len(inputs) :]])
        for y, value in zip(results, found, strict=True):
            y[...] = value

    def _called(
        self, inputs: Sequence[Any], results: Sequence[Any], values: Sequence[Any]
    ) -> None:
        found = self.f(*[x.copy() for x in inputs], *values[len(inputs) :])
        for y, value in zip(results, found if isinstance(found, tuple) else (found,), strict=True):
            y[...] = _number(value) if isinstance(value, Tensor) else value


class Kept:
    """What was made of a function, kept with it; a copy or a pickle of it begins anew."""

    def __init__(self, of: Any = None) -> None:
        self.of, self.made = of, {}  # type: ignore[var-annotated]

    def __reduce__(self) -> Any:
        return Kept, ()


_recent: OrderedDict[Any, Kept] = OrderedDict()


def kept(f: Any) -> dict[str, Any]:
    """What was made of *f*, by name."""
    if isinstance(f, FunctionType):
        found = f.__dict__.get(ATTRIBUTE)
        if found is None or found.of is not f:  # functools.wraps copies attributes
            found = f.__dict__[ATTRIBUTE] = Kept(f)
        made: dict[str, Any] = found.made
        return made
    try:
        found = _recent.pop(f, None) or Kept(f)
        _recent[f] = found
    except TypeError:  # it is not hashable
        return {}
    while len(_recent) > RECENT:
        _recent.popitem(last=False)
    return found.made


def _number(x: Tensor) -> Any:
    return np.ascontiguousarray(host(value_of(x._node)))
