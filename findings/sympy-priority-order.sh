#!/usr/bin/env bash
# sympy 1.14.0: an object with a high _op_priority gets the last word in arithmetic with a sympy number
# (`Float(2) * x` gives x.__rmul__, without a look at x) and in ==, but not in < <= > >=: there x is
# converted by its __float__ and a sympy truth value comes out; x.__gt__ is never called.
#
# Seen: "arithmetic own", "== own", "< True after 1 float". Ends with 1 if that has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check sympy==1.14.0
"$work/venv/bin/python" - <<'PY'
import sympy


class Own:
    """Answers every operator itself, and can be a float."""

    _op_priority = 1e6
    floats = 0

    def _answer(self, other):
        return "own"

    __rmul__ = __radd__ = __rsub__ = __rtruediv__ = __rpow__ = _answer
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = _answer

    def __float__(self):
        Own.floats += 1
        return 3.0


two, x = sympy.Float(2), Own()
arithmetic = {two * x, two + x, two - x, two / x, two**x}
asked = Own.floats
equal = two == x
less = two < x
print("arithmetic", *arithmetic)
print("==", equal)
print("<", less, "after", Own.floats - asked, "float")
fine = arithmetic == {"own"} and asked == 0 and equal == "own"
raise SystemExit(not (fine and less is sympy.true and Own.floats == 1))
PY
