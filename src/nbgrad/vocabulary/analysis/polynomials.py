"""Polynomials as vectors of coefficients, the highest power first: ``numpy.polyval`` and others."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.lookup import ours
from nbgrad.core.node import Node, constant
from nbgrad.core.values import value_of
from nbgrad.errors import ConcretizationError
from nbgrad.ops.arrays.indexing import scatter_add
from nbgrad.ops.basis import full
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.linalg import roots as rootfinding
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import astype
from nbgrad.vocabulary.reductions.plain import as_dtype
from nbgrad.vocabulary.reductions.scans import window
from nbgrad.vocabulary.shapes import as_node, broadcast_to, concatenate, reshape, stack
from nbgrad.vocabulary.support import repeats


def _vector(p: Any) -> Node:
    """Coefficients as a vector; a sequence may hold tensors."""
    if isinstance(p, (tuple, list)) and any(x.__class__ is Node for x in p):
        return stack([as_node(x) for x in p])
    node = as_node(p)
    return node if node.ndim else reshape(node, (1,))


def _entry(p: Node, k: int) -> Node:
    return reshape(window(p, 0, k, k + 1), p.shape[1:])


def _zeros(n: int, dtype: Any) -> Node:
    return full(0.0, shape=(n,), dtype=np.dtype(dtype))


@function(
    "numpy",
    np.polyval,
    cases=lambda d: [call(d(4), d(2, 3)), call(d(1), d(2)), call(np.array([2, 1]), d())],
    complex=True,
)
def polyval(p: Any, x: Any) -> Node:
    """Value of the polynomial *p* at *x*, by Horner's rule."""
    coefficients, at = _vector(p), as_node(x)
    y = full(0.0, shape=at.shape, dtype=at.dtype)
    for k in range(coefficients.shape[0]):
        y = y * at + _entry(coefficients, k)
    return y


def _sum(combine: Any, a1: Any, a2: Any) -> Node:
    a, b = _vector(a1), _vector(a2)
    longer = max(a.shape[0], b.shape[0])
    a, b = (
        concatenate([_zeros(longer - p.shape[0], p.dtype), p]) if p.shape[0] < longer else p
        for p in (a, b)
    )
    found: Node = combine(a, b)
    return found


@function("numpy", np.polyadd, cases=lambda d: [call(d(2), d(4))], complex=True)
def polyadd(a1: Any, a2: Any) -> Node:
    """Sum of two polynomials."""
    return _sum(arithmetic.add, a1, a2)


@function("numpy", np.polysub, cases=lambda d: [call(d(4), d(2))], complex=True)
def polysub(a1: Any, a2: Any) -> Node:
    """Difference of two polynomials."""
    return _sum(arithmetic.subtract, a1, a2)


def _trimmed(p: Node) -> Node:
    """*p* without leading zeros, as NumPy multiplies it; traced ones are taken as they are."""
    try:
        nonzero = np.flatnonzero(value_of(p))
    except ConcretizationError:
        return p
    n = p.shape[0]
    return window(p, 0, int(nonzero[0]) if nonzero.size else n - 1, n)


def product(a: Node, b: Node) -> Node:
    """Coefficients of a product: the sums of products of equal degree."""
    m, n = a.shape[0], b.shape[0]
    degrees = np.arange(m)[:, None] + np.arange(n)
    table = reshape(a, (m, 1)) * reshape(b, (1, n))
    return scatter_add(table, constant(degrees), size=m + n - 1)


@function(
    "numpy",
    np.polymul,
    cases=lambda d: [call(d(2), d(3)), call(np.array([0, 0, 2]), np.array([0, 1, 3]))],
    complex=True,
)
def polymul(a1: Any, a2: Any) -> Node:
    """Product of two polynomials."""
    return product(_trimmed(_vector(a1)), _trimmed(_vector(a2)))


@function(
    "numpy",
    np.polydiv,
    cases=lambda d: [call(d(5), d(3)), call(d(2), d(3))],
    complex=True,
    traceable=False,
)
def polydiv(u: Any, v: Any) -> tuple[Node, Node]:
    """Quotient and remainder; the remainder's leading zeros go, so *u* must not be traced."""
    a, b = _vector(u) + 0.0, _vector(v) + 0.0
    dtype = np.result_type(a.dtype, b.dtype)
    m, n = a.shape[0] - 1, b.shape[0] - 1
    scale = 1.0 / window(b, 0, 0, 1)
    rest, quotient = as_dtype(a, dtype), []
    for k in range(m - n + 1):
        d = scale * window(rest, 0, k, k + 1)
        quotient.append(d)
        parts = [window(rest, 0, 0, k), window(rest, 0, k, k + n + 1) - d * b]
        rest = concatenate([*parts, window(rest, 0, k + n + 1, m + 1)])
    left = value_of(rest)
    start = 0
    while start < m and np.allclose(left[start], 0, rtol=1e-14):
        start += 1
    q = concatenate(quotient) if quotient else _zeros(1, dtype)
    return q, window(rest, 0, start, m + 1)


@function(
    "numpy",
    np.polyder,
    cases=lambda d: [call(d(4), 2), call(d(1)), call(d(3), 0)],
    complex=True,
)
def polyder(p: Any, m: int = 1) -> Node:
    """The *m*-th derivative of a polynomial."""
    if int(m) < 0:
        raise ValueError("polyder: order of derivative must be positive (see polyint)")
    y = _vector(p)
    # Beyond the degree all that is left is nothing, and stays so.
    for _ in range(repeats("polyder", "m", min(int(m), y.shape[0] + 1))):
        n = max(y.shape[0] - 1, 0)
        y = window(y, 0, 0, n) * np.arange(n, 0, -1)
    return y


@function(
    "numpy",
    np.polyint,
    cases=lambda d: [call(d(3), 2, d(2)), call(d(3)), call(d(2), 2, 0.5)],
    complex=True,
)
def polyint(p: Any, m: int = 1, k: Any = None) -> Node:
    """The *m*-th integral of a polynomial; *k* are the constants, in order of integration."""
    order = repeats("polyint", "m", m)
    if order < 0:
        raise ValueError("polyint: order of integral must be positive (see polyder)")
    constants = _zeros(order, float) if k is None else _vector(k)
    if constants.shape[0] == 1 and order > 1:
        constants = broadcast_to(constants, (order,))
    if constants.shape[0] < order:
        raise ValueError("polyint: k must be a scalar or a rank-1 array of length 1 or >m.")
    y = _vector(p)
    for j in range(order):
        y = concatenate([y / np.arange(y.shape[0], 0, -1), window(constants, 0, j, j + 1)])
    return y


@function("numpy", np.poly, cases=lambda d: [call(d(3)), call(d.spd(3, 3))], complex=True)
def poly(seq_of_zeros: Any) -> Any:
    """Coefficients of the polynomial with given roots, or of a matrix's characteristic one."""
    zeros = _vector(seq_of_zeros)
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1] and zeros.size:
        eigenvalues = ours(np.linalg.eigvals)
        zeros = eigenvalues(zeros)
    elif zeros.ndim != 1:
        raise ValueError("poly: input must be 1d or non-empty square 2d array.")
    if not zeros.size:
        return 1.0
    if not zeros.aval.inexact:
        zeros = as_dtype(zeros, float)
    found = full(1.0, shape=(1,), dtype=zeros.dtype)
    for k in range(zeros.shape[0]):
        root = window(zeros, 0, k, k + 1)
        found = product(found, concatenate([full(1.0, shape=(1,), dtype=root.dtype), -root]))
    return astype(found, np.empty(0, found.dtype).real.dtype) if _paired(zeros) else found


def _paired(zeros: Node) -> bool:
    """Whether complex roots come with their conjugates, so that the polynomial is real."""
    if zeros.dtype.kind != "c":
        return False
    try:
        values = value_of(zeros).astype(complex)
    except ConcretizationError:
        return False
    return bool(np.all(np.sort(values) == np.sort(values.conj())))


@function(
    "numpy",
    np.roots,
    cases=lambda d: [call(np.array([1.0, -1.5, -5.5, 3.0]).astype(d.dtype)), call(d(3))],
    observe=np.sort,
    complex=True,
    traceable=False,
)
def roots(p: Any) -> Node:
    """Roots of a polynomial, in NumPy's order; infinite derivative where two coincide.

    Their number and dtype depend on the coefficients, so *p* must not be traced.
    """
    node = _vector(p)
    if node.ndim != 1:
        raise ValueError("roots: input must be a rank-1 array.")
    values = value_of(node)
    nonzero = np.flatnonzero(values)
    if not nonzero.size:
        return constant(np.zeros(0))
    first, last = int(nonzero[0]), int(nonzero[-1])
    found = np.roots(values)
    inner = window(node if node.aval.inexact else as_dtype(node, float), 0, first, last + 1)
    trailing = constant(np.zeros(values.size - 1 - last, found.dtype))
    if first == last:
        return trailing
    simple = rootfinding.roots(inner, dtype=found.dtype)
    return concatenate([simple, trailing]) if trailing.size else simple
