"""The calls that declarations list for tests, made on tracked arrays."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import PublicFunction, by_reference, functions, primitives
from nbgrad.ops.kinds.elementwise import arity

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "support"))
draws, nests = importlib.import_module("draws"), importlib.import_module("nests")

Call = tuple[tuple[Any, ...], dict[str, Any]]


def declaration(module: str, name: str, reference: Any) -> PublicFunction | Primitive | None:
    """What declares NumPy's function *reference*: by name, or as another name of the same."""
    held = functions.get(module, {}).get(name)
    if held is not None:
        return held
    found = primitives.get(name)
    if found is None or not found.public:
        found = by_reference.get(reference)
    if isinstance(found, Primitive):
        return found
    for declared in functions["numpy"].values():
        if declared.implementation is found or (module != "numpy" and declared.name == name):
            return declared
    return None


def same_function(declared: PublicFunction) -> list[PublicFunction]:
    """The declarations of this function that list calls: aliases list none."""
    return [
        f
        for held in functions.values()
        for f in held.values()
        if f.implementation is declared.implementation and f.cases is not None
    ]


def listed_calls(declared: PublicFunction | Primitive | None) -> list[Call]:
    """Calls in float64, and complex128 where it takes that; or one from a primitive's domain."""
    if isinstance(declared, PublicFunction):
        found = same_function(declared)
        kinds = [(f, dtype) for f in found for dtype in (float, complex)[: 1 + f.complex]]
        return [c for f, dtype in kinds for c in f.cases(draws.Draw(f.name, dtype))]  # type: ignore[misc]
    if declared is None or declared.kind != "elementwise":
        return []
    rng = np.random.default_rng(0)
    bounds = [declared.domain[min(k, len(declared.domain) - 1)] for k in range(arity(declared))]
    draw = [rng.integers if isinstance(b[0], int) else rng.uniform for b in bounds]
    return [(tuple(f(*b, 3) for f, b in zip(draw, bounds, strict=True)), {})]


def _is_floating(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind in "fc"


def floating(nest: Any) -> list[Any]:
    """The floating-point and complex arrays in it."""
    return [a for a in nests.leaves(nest) if _is_floating(a)]


def with_floating(nest: Any, new: Iterator[Any]) -> Any:
    """The nest with those replaced by *new*, in order."""
    return nests.replaced(nest, new, _is_floating)
