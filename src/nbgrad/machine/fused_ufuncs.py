"""Calls of ufuncs with numbers that are not Numba's are in none of its loops over expressions of arrays.

Numba asks whether the operands of an operator are types of its own before it makes a loop of it, but not those
of a call: ``np.maximum(x, y)`` of an array and an active number is typed by an overload, and then fails in
that loop, where ``x + y`` does not.
"""

from __future__ import annotations

from typing import Any, Final

from nbgrad.machine.numba_inside import RewriteArrayExprs

_MATCH: Final = RewriteArrayExprs._match_array_expr


def _match(self: Any, instr: Any, expr: Any, target_name: str) -> None:
    given = expr.args if expr.op == "call" else ()
    if all(self.typemap[x.name].is_internal for x in given):
        _MATCH(self, instr, expr, target_name)


def leave_ours_alone() -> None:
    """Let Numba ask that of calls, too."""
    RewriteArrayExprs._match_array_expr = _match
