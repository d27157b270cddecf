#!/usr/bin/env bash
# scipy 1.17.1: finite differences with jac_sparsity= take twice as many calls on grids as they need. Columns that share no
# row are perturbed together, grouped greedily in a random order with a fixed seed: 10 groups for the five-point stencil on
# 30x30 points, 14 for the seven-point one on 12x12x12. Colouring by (i + 2j + 3k) mod 5 and 7 groups them by
# 5 and 7, which no grouping can beat (a row has that many entries); the natural order of the columns would give 7 and 12.
#
# Seen: "2-D 10 of 5, 3-D 14 of 7". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
import scipy.sparse as sp
from scipy.optimize import least_squares


def pattern(n, dims):
    """Which points a point and its neighbours along the axes are."""
    near, own = sp.diags([1.0, 1.0, 1.0], [-1, 0, 1], shape=(n, n)), sp.eye(n)
    total = 0
    for k in range(dims):
        term = sp.eye(1)
        for j in range(dims):
            term = sp.kron(term, near if j == k else own)
        total = total + term
    return (total > 0).tocsr()


def calls(n, dims):
    """Calls of the residual for one Jacobian: all but the first."""
    wanted = pattern(n, dims)
    matrix, count = wanted.astype(float), []

    def residual(x):
        count.append(1)
        return matrix @ x - 1.0

    least_squares(residual, np.zeros(n**dims), jac_sparsity=wanted, tr_solver="lsmr", max_nfev=1)
    return len(count) - 1


def apart(n, dims):
    """Whether the colours by arithmetic are all different in each row."""
    colors = sum((k + 1) * i for k, i in enumerate(np.indices((n,) * dims))).ravel() % (2 * dims + 1)
    rows = np.split(pattern(n, dims).indices, pattern(n, dims).indptr[1:-1])
    return all(len(set(colors[row])) == len(row) for row in rows)


assert apart(30, 2) and apart(12, 3)
found = calls(30, 2), calls(12, 3)
print(f"2-D {found[0]} of 5, 3-D {found[1]} of 7")
raise SystemExit(found != (10, 14))
PY
