"""Samples for the calls that declared functions list: see ``nbgrad/vocabulary/declare.py``."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
OF_TESTS = "my_"  # what the names of operations that tests declare begin with


class Draw:
    """A seeded source of arrays; *dtype* is that of the floating-point ones."""

    def __init__(self, seed: str, dtype: Any = np.float64) -> None:
        self.rng = np.random.default_rng(zlib.crc32(seed.encode()))
        self.dtype = np.dtype(dtype)
        self.real_dtype = np.empty(0, self.dtype).real.dtype

    def __call__(self, *shape: int) -> Array:
        x = self.rng.normal(size=shape)
        if self.dtype.kind == "c":
            x = x + 1j * self.rng.normal(size=shape)
        return np.asarray(x).astype(self.dtype)

    def real(self, *shape: int) -> Array:
        return np.asarray(self.rng.normal(size=shape)).astype(self.real_dtype)

    def positive(self, *shape: int) -> Array:
        return np.asarray(self.rng.uniform(0.2, 1.5, shape)).astype(self.real_dtype)

    def unit(self, *shape: int) -> Array:
        return np.asarray(self.rng.uniform(0.1, 0.9, shape)).astype(self.real_dtype)

    def distinct(self, *shape: int) -> Array:
        size = int(np.prod(shape))
        x = 0.5 * (self.rng.permutation(size) - size / 2) + self.rng.uniform(-0.1, 0.1, size)
        return x.reshape(shape).astype(self.real_dtype)

    def square(self, *shape: int) -> Array:
        """Matrices with singular values between about 1 and 3."""
        n = shape[-1]
        q, _ = np.linalg.qr(self._wide(*shape))
        r, _ = np.linalg.qr(self._wide(*shape))
        return (q * np.linspace(1.0, 3.0, n) @ r).astype(self.dtype)

    def spd(self, *shape: int) -> Array:
        """Positive definite matrices with eigenvalues between 1 and 3."""
        q, _ = np.linalg.qr(self._wide(*shape))
        matrix = q * np.linspace(1.0, 3.0, shape[-1]) @ np.swapaxes(q.conj(), -1, -2)
        return ((matrix + np.swapaxes(matrix.conj(), -1, -2)) / 2).astype(self.dtype)

    def factor(self, *shape: int) -> Array:
        """Lower triangular matrices, the Cholesky factors of such."""
        return np.asarray(np.linalg.cholesky(self.spd(*shape)))

    def exchanged(self, n: int) -> Array:
        """The rows that LAPACK exchanged with the first, the second and so on, from 1 on."""
        return np.array([self.rng.integers(k, n) + 1 for k in range(n)], np.int32)

    def _wide(self, *shape: int) -> Array:
        x = self.rng.normal(size=shape)
        return x + 1j * self.rng.normal(size=shape) if self.dtype.kind == "c" else x

    def integers(self, high: int, *shape: int) -> Array:
        return np.asarray(self.rng.integers(0, high, size=shape))

    def booleans(self, *shape: int) -> Array:
        return np.asarray(self.rng.random(shape) > 0.5)
