#!/usr/bin/env bash
# numba-cuda 0.30.4 (numba 0.68.1): in a kernel, a quotient of complex numbers by 0 is not written at all. On the
# CPU and in the simulator this division raises ZeroDivisionError; compiled for a card, the raise becomes a
# return, so the thread ends in silence before its store, and out[i] keeps whatever was there. float64 has no
# such test: its quotient by 0 is infinite, as NumPy's. Read from the PTX, so no card is needed.
#
# Seen: float64 "tests for zero: 0", complex128 "tests for zero: 2, jumps to the return: yes". Ends with 1 if
# that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "numba-cuda[cu13]==0.30.4" numba==0.68.1
"$work/venv/bin/python" -W ignore - <<'PY'
import re

from numba import cuda, types


def quotient(a, b, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = a[i] / b[i]


def seen(element):
    text, _ = cuda.compile_ptx(quotient, types.void(*[element[:]] * 3), device=False, cc=(9, 0))
    lines = [line.strip() for line in text.splitlines()]
    zero = [k for k, line in enumerate(lines) if line.startswith("setp.eq.f64") and "0d0000000000000000" in line]
    last = lines[lines.index("ret;") - 1].rstrip(":")  # the label of the return
    jumps = [k for k, line in enumerate(lines) if re.match(rf"@%p\d+ bra\s+{re.escape(last)};", line)]
    store = next(k for k, line in enumerate(lines) if line.startswith("st."))
    return len(zero), bool(zero) and any(zero[-1] < k < store for k in jumps)


found = {element: seen(element) for element in (types.float64, types.complex128)}
for element, (tests, early) in found.items():
    print(f"{element}: tests for zero: {tests}, jumps to the return: {'yes' if early else 'no'}")
raise SystemExit([*found.values()] != [(0, False), (2, True)])
PY
