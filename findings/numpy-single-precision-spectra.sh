#!/usr/bin/env bash
# NumPy 2.4.6 computes eigh and svd of float32 matrices in double precision and rounds the result; SciPy 1.17.1 computes them in single
# precision, with ssyevd and sgesdd. Eigenvectors and singular vectors are unique up to their sign, and which of the two is
# found hangs on the last bits: so for float32 the two libraries often give opposite vectors of one matrix, for float64 never here, and
# what reads a component of a vector differs between them by its sign.
#
# Counted: of 200 symmetric matrices of 10 x 10 (normal draws, seed 0) those of which some vector has another sign.
# Seen: "float32: eigh most, svd some; float64: eigh none, svd none". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/signs.py" <<'PY'
import numpy as np
import scipy.linalg


def other(found, expected):
    return not np.allclose(found, expected, atol=1e-2)


def said(count):
    return "none" if count == 0 else "most" if count > 100 else "some"


for dtype in (np.float32, np.float64):
    rng = np.random.default_rng(0)
    eigh = svd = 0
    for _ in range(200):
        a = rng.standard_normal((10, 10))
        a = (a + a.T).astype(dtype)
        eigh += other(scipy.linalg.eigh(a, driver="evd")[1], np.linalg.eigh(a)[1])
        svd += other(scipy.linalg.svd(a)[0], np.linalg.svd(a)[0])
    print(f"{np.dtype(dtype)}: eigh {said(eigh)}, svd {said(svd)}")
PY
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1
found=$("$work/venv/bin/python" "$work/signs.py" | paste -sd';' | sed 's/;/; /')
printf '%s\n' "$found"
[ "$found" = "float32: eigh most, svd some; float64: eigh none, svd none" ]
