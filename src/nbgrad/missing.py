"""What nbgrad has not: the error says so, what comes nearest, and where it was asked for."""

from __future__ import annotations

import sys
from typing import Any

from nbgrad.core.modes import user_line
from nbgrad.core.registry import functions, primitives
from nbgrad.errors import MissingOperation
from nbgrad.lazy import LazyModule
from nbgrad.loading import load_vocabulary

difflib = LazyModule("difflib")


def full_name(reference: Any) -> str:
    """``numpy.linalg.solve``, of a function of NumPy's; a ufunc does not know its module."""
    name = getattr(reference, "__name__", str(reference))
    module = getattr(reference, "__module__", None)
    for known in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(known), name, None) is reference:
            module = known
    return f"{module}.{name}" if module else name


def missing(name: str, detail: str = "") -> MissingOperation:
    """The error for NumPy's function of dotted *name*; *detail* says which use of it."""
    load_vocabulary()
    names = {f"{f.namespace}.{f.name}" for held in functions.values() for f in held.values()}
    names |= {f"{p.namespace}.{p.name}" for p in primitives.values() if p.public}
    short = name.rpartition(".")[2]
    by_short: dict[str, str] = {n.rpartition(".")[2]: n for n in sorted(names)}
    close = difflib.get_close_matches(short, by_short, n=3, cutoff=0.6)
    hint = f" Nearest: {', '.join(f'nbgrad.{by_short[c]}' for c in close)}." if close else ""
    line = user_line()
    where = f" ({line})" if line else ""
    return MissingOperation(
        f"{name}{detail} is not available on nbgrad tensors yet.{hint} Use "
        f"tensor.detach().numpy() if no gradient is needed.{where}"
    )
