"""Functions of arrays as compiled programs, compared with the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.backends.reference import ReferenceProgram
from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.values import value_of
from nbgrad.program.program import Program, make_program
from nbgrad.program.views import LibraryCall


class Both:
    """A function of arrays as a compiled program and on the reference tier."""

    def __init__(self, f: Callable[..., Any], *args: Any) -> None:
        inputs = [placeholder(make_aval(a.shape, a.dtype)) for a in args]
        ys = f(*[ng.Tensor(x) for x in inputs])
        leaves = ys if isinstance(ys, (list, tuple)) else [ys]
        nodes = [y._node if isinstance(y, ng.Tensor) else y for y in leaves]
        tape, constants = linearize(nodes, inputs)
        self.constants = [value_of(c) for c in constants]
        self.program: Program = make_program(tape)
        self.compiled = CpuProgram(self.program)
        self.oracle = ReferenceProgram(tape)

    def run(self, *args: Any) -> list[Any]:
        return self.compiled.run([*args, *self.constants])

    def reference(self, *args: Any) -> list[Any]:
        return self.oracle.run([*args, *self.constants])

    @property
    def calls(self) -> list[LibraryCall]:
        return [step for step in self.program.steps if isinstance(step, LibraryCall)]


def check(f: Callable[..., Any], *args: Any, rtol: float = 1e-12) -> Both:
    """Compare the compiled program of *f* with the reference; nothing runs in NumPy."""
    both = Both(f, *args)
    assert both.program.stats()["host_calls"] == 0
    assert len(both.compiled.segments) == 1
    for given, expected in zip(both.run(*args), both.reference(*args), strict=True):
        assert given.dtype == expected.dtype and given.shape == expected.shape
        if given.dtype.kind == "f":
            assert_allclose(given, expected, rtol=rtol, atol=rtol)
        else:
            assert_array_equal(given, expected)
    return both
