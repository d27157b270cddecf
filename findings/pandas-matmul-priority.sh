#!/usr/bin/env bash
# pandas 3.1.1 (numpy 2.4.6): a class with a __pandas_priority__ above that of Series (3000) is left
# the answer by all of its operators but one. `series * x` gives x.__rmul__, `series @ x` does not ask
# x.__rmatmul__: it converts x by __array__ and computes. A lazy or tracked array that relies on the
# priority is silently taken for its numbers there.
#
# Seen: "others defer: True" and "matmul: float64 6.0". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import operator

import numpy as np
import pandas as pd


class Own:
    """Answers every operator itself; NumPy may convert it."""

    __pandas_priority__ = 10_000
    shape, ndim = (3,), 1

    def _answer(self, other):
        return "own"

    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = __rmod__ = __rmatmul__ = _answer
    __lt__ = __gt__ = __eq__ = _answer

    def __len__(self):
        return 3

    def __array__(self, dtype=None, copy=None):
        return np.ones(3)


series = pd.Series([1.0, 2.0, 3.0])
names = ("add", "sub", "mul", "truediv", "pow", "mod", "lt", "gt", "eq")
defer = all(getattr(operator, name)(series, Own()) == "own" for name in names)
found = series @ Own()
print("others defer:", defer)
print("matmul:", type(found).__name__, found)
raise SystemExit(not (defer and type(found).__name__ == "float64" and found == 6.0))
PY
