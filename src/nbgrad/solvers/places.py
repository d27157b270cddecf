"""Where what ``nb-lbfgs`` holds begins: vectors, the pairs that are kept, and small matrices of them.

The model of the function is B = theta I - W K^-1 W', with W = [Y, theta S] and K = [[-D, L'], [L, theta S'S]], where
D and L are the diagonal of S'Y and what is below it.
"""

from __future__ import annotations

from typing import Any

from nbgrad.machine.pointers import apart
from nbgrad.solvers.native import HEAD, HELD, MEMORY, THETA

# Vectors: the point and its gradient, a direction, those of the point that is tried; bounds; the generalized Cauchy
# point; reduced gradient; where the path meets bounds, variables in that order, the path's direction.
X, G, P, XT, GT, BELOW, ABOVE, XC, RED, MEETS, HEAP, PATH = range(12)
VECTORS = 12
EPS = 2.220446049250313e-16


def pairs_s(n: int) -> int:
    """Steps that are kept, one after another."""
    return VECTORS * n


def pairs_y(n: int, size: int) -> int:
    """Changes of the gradient."""
    return VECTORS * n + size * n


def small_weights(n: int, size: int) -> int:
    """Vectors of twice as many elements as pairs are kept: eight of them."""
    return VECTORS * n + 2 * size * n


def products(n: int, size: int) -> int:
    """S'S, behind it S'Y, by the places of the pairs."""
    return small_weights(n, size) + 16 * size


def middle(n: int, size: int) -> int:
    """K, factorized; behind it that of the subspace."""
    return products(n, size) + 2 * size * size


def words(n: int, size: int) -> int:
    """How many words all of it takes."""
    return middle(n, size) + 8 * size * size


def slot(k: Any, j: int) -> Any:
    """The place of a pair, the oldest being the first."""
    return (k[HEAD] + j) % k[MEMORY]


@apart
def row(k: Any, s: Any, w: Any, n: int, i: int, to: int) -> None:
    """Row *i* of W."""
    size, count = k[MEMORY], k[HELD]
    for j in range(count):
        at = slot(k, j) * n + i
        w[to + j] = w[pairs_y(n, size) + at]
        w[to + count + j] = s[THETA] * w[pairs_s(n) + at]
