#!/usr/bin/env bash
# numba 0.68.1: variables that both branches of an `if` assign are renamed one after the other, and for each Numba goes
# twice through all statements of the function, whatever names they hold. So n such choices one after the other cost 25 n^2
# visits of statements: twice the code, four times the work. In generated code of 3,269 lines this took half of the 13
# seconds that compiling took, more than typing or LLVM. Code that is written by a
# program, as unrolled loops are, meets it first; with the choice in a small function of its own the visits grow as the code.
#
# Seen: visits for 25, 50 and 100 choices grow by 4.0 and 4.0 (16,002, 63,252, 251,502); with the choice in a function of its own by 2.0 and 2.0.
# Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/renaming.py" <<'PY'
import numba
from numba.core import ssa

visits = 0
plain = ssa._run_ssa_block_pass


def counted(states, block, handler):
    global visits
    for statement in plain(states, block, handler):
        visits += 1
        yield statement


ssa._run_ssa_block_pass = counted


@numba.njit
def chosen(c, a, b):
    return a if c else b


def visited(n, branch):
    """Visits of statements while a function of n choices compiles."""
    global visits
    lines = ["def f(x):"]
    for k in range(n):
        a, b = f"x + {k}.0", f"x * {k}.0"
        if branch:
            lines += [f"    if x > {k}.0:", f"        v{k} = {a}", "    else:", f"        v{k} = {b}"]
        else:
            lines.append(f"    v{k} = chosen(x > {k}.0, {a}, {b})")
    lines.append("    return " + " + ".join(f"v{k}" for k in range(n)))
    names = {"chosen": chosen}
    exec("\n".join(lines), names)
    visits = 0
    numba.njit((numba.float64,))(names["f"])
    return visits


chosen(True, 1.0, 2.0)
for branch in (True, False):
    found = [visited(n, branch) for n in (25, 50, 100)]
    print("branches" if branch else "calls", *found, *[f"{b / a:.1f}" for a, b in zip(found, found[1:])])
PY
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6
found=$("$work/venv/bin/python" "$work/renaming.py")
printf '%s\n' "$found"
grep -q '^branches .* 4\.0 4\.0$' <<<"$found" && grep -q '^calls .* 2\.0 2\.0$' <<<"$found"
