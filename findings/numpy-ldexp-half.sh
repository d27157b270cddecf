#!/usr/bin/env bash
# numpy 2.4.6: np.ldexp of a Python integer and an array of exponents computes in half precision. np.ldexp(70000, 1) is
# 140000.0, float64; np.ldexp(70000, np.array([1])) is inf, float16, as 70000 is beyond the largest half already. Of integers
# the first of ldexp's loops that fits is taken, "ei->e", and a weak integer fits whatever it is; so do arrays of bytes:
# 100 of int8 by 2**10 is inf, where 100 * 2.0**10 is 102400.0. A RuntimeWarning of an overflow is all that says so. With an
# array of float64, or a Python float, in the first place it is float64.
#
# Seen: "140000.0 float64 / inf float16 / inf float16 / 140000.0 float64". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/halves.py" <<'PY'
import warnings

import numpy as np

warnings.simplefilter("ignore", RuntimeWarning)
found = [
    np.ldexp(70000, 1),
    np.ldexp(70000, np.array([1]))[0],
    np.ldexp(np.array([100], np.int8), 10)[0],
    np.ldexp(70000.0, np.array([1]))[0],
]
print(" / ".join(f"{float(x)} {x.dtype}" for x in found))
PY
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6
found=$("$work/venv/bin/python" "$work/halves.py")
printf '%s\n' "$found"
[ "$found" = "140000.0 float64 / inf float16 / inf float16 / 140000.0 float64" ]
