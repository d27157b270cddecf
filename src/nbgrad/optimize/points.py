"""What is known at one vector; derivatives there as products, without a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from nbgrad.optimize.programs import Programs
from nbgrad.optimize.swept import array_of

F8 = np.dtype(np.float64)


class Point:
    """What is known at one vector, whose bytes are the *key*."""

    __slots__ = ("grad", "hess", "jac", "key", "limits", "slopes", "value", "vector")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.value: Any = None
        self.grad: Any = None
        self.vector: Any = None
        self.jac: Any = None
        self.hess: Any = None
        self.limits: Any = None
        self.slopes: Any = None


def operator_of(programs: Programs, at: Any, args: tuple[Any, ...]) -> Any:
    """The Hessian of a function of one value at a vector, or the Jacobian of several, as products."""
    n = len(at)
    if programs.shape == ():
        product = lambda p: array_of(programs.hvp(at, _vector(p), *args))
        return LinearOperator((n, n), matvec=product, rmatvec=product, dtype=F8)
    return LinearOperator(
        (programs.size, n),
        matvec=lambda p: array_of(programs.jvp(at, _vector(p), *args)),
        rmatvec=lambda p: array_of(programs.vjp(at, _vector(p), *args)),
        dtype=F8,
    )


def _vector(p: Any) -> Any:
    return np.array(p, F8).reshape(-1)
