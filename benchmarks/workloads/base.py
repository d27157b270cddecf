"""What a workload is, and how code by hand is written."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import libraries
from benchmarks.compilers import COMPILERS
from benchmarks.libraries import Step
from benchmarks.problems import Array
from nbgrad.machine.compile import native
from nbgrad.machine.scalar import HELPERS

TYPES = {"i8": ctypes.c_int64, "f8": ctypes.c_double, "f4": ctypes.c_float}


@dataclass(frozen=True)
class Sides:
    """One workload, ready to run: nbgrad's, by hand, and by library.

    ``hand`` returns what ``ours`` does where ``same`` says so, and a check compares them.
    """

    ours: Step
    hand: Step | None = None
    peers: Mapping[str, Callable[[], Step]] = field(default_factory=dict)
    same: bool = True


@dataclass(frozen=True)
class Workload:
    """A row of the table; ``aim`` is the largest ratio to the adjoint by hand that it may have."""

    name: str
    build: Callable[[], Sides]
    aim: float | None = None


def written(source: str, name: str, params: str) -> Callable[..., int]:
    """Code by hand: Python's words, compiled as nbgrad's kernels are, with their vector mathematics.

    Parameters
    ----------
    params : str
        Type codes, ``"f8* f8* i8"``: arrays are passed as pointers to their elements, and are apart.
    """
    codes = tuple(params.split())
    code = native(source, name, codes, result="i8", noalias=True, helpers=HELPERS)[0]
    kinds = [ctypes.c_void_p if c.endswith("*") else TYPES[c] for c in codes]
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(code.address)

    def call(*values: Any) -> int:
        given = [v.ctypes.data if isinstance(v, np.ndarray) else v for v in values]
        return int(function(*given))

    call.code, call.function = code, function  # type: ignore[attr-defined]
    return call


def of_libraries(
    problem: Callable[..., Any], arrays: tuple[Array, ...], wrt: int = 1
) -> tuple[Step, dict[str, Callable[[], Step]]]:
    """Value and gradients of ``problem(*arrays, xp)`` compiled by nbgrad, and by whoever compiles it."""
    ours = libraries.compiled("nbgrad", problem, arrays, wrt)
    return ours, of_peers(problem, arrays, wrt)


def of_peers(
    problem: Callable[..., Any], arrays: tuple[Any, ...], wrt: int = 1
) -> dict[str, Callable[[], Step]]:
    """The same, by the others."""

    def of(library: str) -> Callable[[], Step]:
        return lambda: libraries.compiled(library, problem, arrays, wrt)

    return {name: of(name) for name in ("jax", "torch", "autograd", *COMPILERS)}


def flat(found: Any) -> list[Any]:
    """The arrays of nested tuples, in order."""
    return [a for f in found for a in flat(f)] if isinstance(found, tuple | list) else [found]
