#!/usr/bin/env bash
# NumPy 2.4.6, x86-64 with AVX2: one call of np.fmax or np.fmin on equal zeros of opposite sign gives
# both signs, by the place of an element and the length of the array: one element alone answers with the
# first operand, the first eight of nine with the second. np.maximum and np.minimum answer with the
# second operand everywhere. Who compares results by bits (a compiler against NumPy as its reference, a
# cache of results) sees differences that come and go with the length. Without AVX2 no call mixes signs.
#
# Seen: "fmax 1:- 3:--- 7:---+--+ 9:++++++++- 17:++++++++++++++++-", the same for fmin, and
# "maximum 1:+ 3:+++ 7:+++++++ 9:+++++++++ 17:+++++++++++++++++". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
from numpy._core._multiarray_umath import __cpu_features__ as features

LENGTHS = (1, 3, 7, 9, 17)


def signs(f, n):
    """The sign of each element of f(-0., 0.) in an array of n of them."""
    made = f(np.full(n, -0.0), np.zeros(n))
    return "".join("-" if s else "+" for s in np.signbit(made))


seen = {f.__name__: [signs(f, n) for n in LENGTHS] for f in (np.fmax, np.fmin, np.maximum)}
for name, texts in seen.items():
    print(name, *(f"{n}:{t}" for n, t in zip(LENGTHS, texts, strict=True)))
if not (features.get("AVX2") or features.get("X86_V3")):
    raise SystemExit("this processor has no AVX2: nothing to see here")
mixed = [name for name, texts in seen.items() if any(len(set(t)) == 2 for t in texts)]
print("mixed in one call:", *mixed)
raise SystemExit(mixed != ["fmax", "fmin"])
PY
