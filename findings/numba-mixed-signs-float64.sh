#!/usr/bin/env bash
# numba 0.68.1 with numpy 2.4.6: compiled code compares an unsigned integer of 64 bits with a signed one as float64, which
# holds neither. uint64(2**53 + 1) == int64(2**53) is true there, and arrays of the two compare the same way;
# uint64(2**63) <= int64(2**63 - 1) is true, too. NumPy has compared these two types exactly since 1.25 (loops "qQ->?"), so has
# Python, so a search or a hash table that works loses keys once it is compiled. Sums of the two types do not become
# float64 in compiled code: they are int64, where NumPy makes float64 of them; so both differ from NumPy, in opposite ways.
#
# Seen: "numpy False False float64" and "numba True True int64". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/compare.py" <<'PY'
import numba
import numpy as np


def asked(a, b, c, d):
    return a[0] == b[0], c[0] <= d[0], a[0] + b[0]


given = [np.array([n], t) for n, t in ((2**53 + 1, "u8"), (2**53, "i8"), (2**63, "u8"), (2**63 - 1, "i8"))]
for name, f in (("numpy", asked), ("numba", numba.njit(asked))):
    same, less, total = f(*given)
    print(name, bool(same), bool(less), np.asarray(total).dtype)
PY
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6
found=$("$work/venv/bin/python" "$work/compare.py")
printf '%s\n' "$found"
[ "$found" = "numpy False False float64
numba True True int64" ]
