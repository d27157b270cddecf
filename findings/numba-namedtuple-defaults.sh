#!/usr/bin/env bash
# numba 0.68.1: a field of a namedtuple that is left to its default is not there in compiled code. With State of x and
# v=1.0, State(2.0) has one item: len() of it is 1 and a loop over it sees 2.0 alone, where Python has two. It comes
# back from the function as State(x=2.0, v=1.0), as Python makes it of the one item, so what returns it looks right;
# s.v is refused when compiled ("Can't index at [1]").
#
# Seen: "python 2 3.0 / numba 1 2.0 / returned State(x=2.0, v=1.0)". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/state.py" <<'PY'
from collections import namedtuple

from numba import njit

State = namedtuple("State", "x v", defaults=(1.0,))


def told(a):
    s = State(a)
    total = 0.0
    for item in s:
        total += item
    return len(s), total


print(
    "python", *told(2.0), "/ numba", *njit(told)(2.0), "/ returned", njit(lambda a: State(a))(2.0)
)
PY
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1
found=$("$work/venv/bin/python" "$work/state.py")
printf '%s\n' "$found"
[ "$found" = "python 2 3.0 / numba 1 2.0 / returned State(x=2.0, v=1.0)" ]
