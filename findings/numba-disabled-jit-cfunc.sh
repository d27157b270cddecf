#!/usr/bin/env bash
# numba 0.68.1 (0.67.0 too): NUMBA_DISABLE_JIT=1 leaves `cfunc` compiling, for C needs an address. The built-ins `max`
# and `min` inside one end with an AttributeError there: Numba implements them by functions of its own that are to be
# compiled, and the setting has made plain Python functions of these. `abs`, `math.sqrt` and arithmetic work. So a package
# whose callbacks work breaks under the setting that its users are told to debug with, and the message names
# neither the setting nor `max`.
#
# Seen: "abs 1.2 max AttributeError: 'function' object has no attribute 'get_call_template'" with the setting, and
# "abs 1.2 max 0.5" without. Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/callback.py" <<'PY'
import numba
from numba import types

signature = types.float64(types.float64)


def absolute(x):
    return abs(x) + 1.0


def larger(x):
    return max(x, 0.5)


def tried(f):
    try:
        return numba.cfunc(signature)(f).ctypes(0.2)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


print("abs", tried(absolute), "max", tried(larger))
PY
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6
with=$(NUMBA_DISABLE_JIT=1 "$work/venv/bin/python" "$work/callback.py")
without=$(NUMBA_DISABLE_JIT=0 "$work/venv/bin/python" "$work/callback.py")
printf 'with: %s\nwithout: %s\n' "$with" "$without"
[ "$with" = "abs 1.2 max AttributeError: 'function' object has no attribute 'get_call_template'" ] &&
  [ "$without" = "abs 1.2 max 0.5" ]
