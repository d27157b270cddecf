"""Which values to store because they would be computed anew at each place where they are read.

A stencil reads each value of the last step at five places, and that computes each of its own at
five: recomputing a few steps in one nest is 5, 25, 125 times the work. What the planner compares with
the cost of memory is therefore the number of different index maps that lead from a value to its readers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.ops.kinds.forms import View

# ns an element that computing a value again may cost, for all the places it is read at.
AGAIN_LIMIT = 1.5
# Different maps beyond which no more are told apart, and a cost that is high enough.
MAX_MAPS, DEAR = 16, 1e6
# A transpose that is read by so many copies, along so many elements, is a copy itself.
COPIES, ALONG = 8, 64


def read_at_several(
    tape: Tape, free: set[Var], stored: set[Var], cost_of: Callable[[Equation], float]
) -> set[Var]:
    """Values in *free* that different index maps lead to from their readers, if that is dear.

    A value with a single reader is none of them: that reader is the better place to store, unless it
    is a larger view.
    """
    cost = _costs(tape, free, stored, cost_of)
    maps: dict[Var, dict[Any, int]] = defaultdict(dict)
    reader: dict[Var, Var] = {}
    several: set[Var] = set()
    found: set[Var] = set()
    for eqn in reversed(tape.eqns):
        out = eqn.out
        here = maps.pop(out, None) or {}
        passes = out in free and out not in stored
        if passes and len(here) > 1 and (out in several or _grows(out, reader[out])):
            times = sum(here.values()) / max(1, out.aval.size)
            if cost[out] * (times - 1.0) > AGAIN_LIMIT:
                found.add(out)
                passes = False
        here = here if passes and here else {(): out.aval.size}
        lower = eqn.sig.prim.lower
        key = eqn.sig if passes and isinstance(lower, View) and lower.name != "reshape" else None
        for a in eqn.inputs:
            if not isinstance(a, Var) or not a.aval.ndim:
                continue
            if reader.setdefault(a, out) is not out:
                several.add(a)
            into = maps[a]
            if len(into) < MAX_MAPS:
                size = min(out.aval.size, a.aval.size)
                for path, n in here.items():
                    into[path if key is None else (key, *path)] = min(size, n)
    return found


def read_across(tape: Tape, free: set[Var]) -> set[Var]:
    """Transposed values whose copies a broadcast reads: elements far apart, again for each of many copies."""
    made = {eqn.out: eqn for eqn in tape.eqns}
    found: set[Var] = set()
    for eqn in tape.eqns:
        lower = eqn.sig.prim.lower
        if not isinstance(lower, View) or lower.name != "broadcast_to":
            continue
        x = eqn.inputs[0]
        if not isinstance(x, Var) or x not in free or not x.aval.ndim:
            continue
        often = eqn.out.aval.size >= COPIES * x.aval.size
        if often and x.aval.shape[-1] >= ALONG and _crossed(x, made):
            found.add(x)
    return found


def _crossed(x: Var, made: dict[Var, Equation]) -> bool:
    """Whether the last dimension of *x* is another one of what it is a transpose of."""
    at = last = x.aval.ndim - 1
    while (eqn := made.get(x)) is not None and isinstance(eqn.inputs[0], Var):
        lower = eqn.sig.prim.lower
        if not isinstance(lower, View) or lower.name != "transpose":
            break
        at = eqn.params["perm"][at]
        x = eqn.inputs[0]
    return at != last and math.prod(x.aval.shape[at + 1 :]) > 1


def _grows(x: Var, view: Var) -> bool:
    return view.aval.size > 1.25 * x.aval.size + 16


def _costs(
    tape: Tape, free: set[Var], stored: set[Var], cost_of: Callable[[Equation], float]
) -> dict[Var, float]:
    """Ns an element of computing each value from memory, what is read twice counted twice."""
    cost: dict[Var, float] = {}
    for eqn in tape.eqns:
        if eqn.out in free:
            operands = [cost.get(a, 0.0) for a in eqn.inputs if isinstance(a, Var)]
            cost[eqn.out] = min(DEAR, cost_of(eqn) + sum(operands))
            if eqn.out in stored:
                cost[eqn.out] = 0.0
    return cost


def largest_costs(fusion: Any, candidates: set[Var]) -> set[Var]:
    """Of nested costly values keep the outermost: those no other candidate is computed from."""
    inner: set[Var] = set()
    for var in candidates:
        stack = [a for a in fusion.producers[var].inputs if isinstance(a, Var)]
        while stack:
            x = stack.pop()
            if x in inner or x in fusion.stored or x not in fusion.producers:
                continue
            inner.add(x)
            stack.extend(a for a in fusion.producers[x].inputs if isinstance(a, Var))
    return {
        v
        for v in candidates
        if v not in inner and not isinstance(fusion.producers[v].prim.lower, View)
    }
