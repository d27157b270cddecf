"""Choices among branches within a step: made by number, or a branch that is taken alone.

What is cheap is computed for all branches, and its results are selected: that is sooner done than a branch
that the processor did not foresee. What may not be run when it is not asked for (a loop, a row by a number
that may be out of bounds), or costs more than that, is written as a branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.lazy import pattern
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.program.scalars import SELECT, Elements, NotScalar, Scalar, Step
from nbgrad.program.scopes import Define, Scope, flat
from nbgrad.program.values import CODES

# Functions, quotients aside, that cost as much as a branch which was not foreseen, and statements.
DEAR = pattern(r"[a-z]\w*_[fiu]\d\(")
MANY = 30


def branched(step: Step, eqn: Equation, define: Define) -> list[Elements]:
    """The numbers of the results of *eqn*."""
    index, *operands = eqn.inputs
    tapes: list[Tape] = [body.tape for body in eqn.params["branches"]]
    if not all(isinstance(a, Var) for a in eqn.inputs):
        raise NotScalar
    number = int(step.read(index, index.aval.dtype))  # type: ignore[union-attr]
    branches = [_Branch(step, tape, operands, eqn, define) for tape in tapes]
    if len(tapes) > 1 and any(branch.dear for branch in branches):
        return _apart(step, eqn, number, branches)
    xs = [step.read(a, a.aval.dtype) for a in operands if isinstance(a, Var)]
    results = []
    for tape in tapes:
        step.env.update(zip(tape.inputs, xs, strict=True))
        for each in tape.eqns:
            define(step, each)
        results.append(_outputs(step, tape, eqn))
    found = results[-1]
    for k in reversed(range(len(tapes) - 1)):
        taken = step.computed(_test(step, number, k), (number,), "b1")
        found = [
            _chosen(step, taken, mine, its, out.aval.dtype)
            for mine, its, out in zip(results[k], found, eqn.outs, strict=True)
        ]
    return found


def _outputs(step: Step, tape: Tape, eqn: Equation) -> list[Elements]:
    pairs = zip(tape.outputs, eqn.outs, strict=True)
    return [np.broadcast_to(step.read(a, out.aval.dtype), out.aval.shape) for a, out in pairs]


def _test(step: Step, number: int, k: int) -> str:
    """Whether the branch *k* is taken, or one before it."""
    return "not {0}" if step.scalars[number].code == "b1" else f"{{0}} <= {k}"


def _chosen(step: Step, taken: int, xs: Elements, ys: Elements, dtype: Any) -> Elements:
    """*xs* where a condition holds, else *ys*."""
    pairs = zip(flat([xs]), flat([ys]), strict=True)
    found = [x if x == y else step.computed(SELECT, (taken, x, y), CODES[dtype]) for x, y in pairs]
    return np.array(found, np.int64).reshape(xs.shape)


class _Branch:
    """One branch as a step of its own.

    ``dear`` says that it is to be run only if it is taken.
    """

    def __init__(
        self, outer: Step, tape: Tape, operands: Sequence[Any], eqn: Equation, define: Define
    ) -> None:
        self.args: list[int] = []
        self.scope = Scope(outer, self.args)
        self.step = step = self.scope.step
        pairs = zip(operands, tape.inputs, strict=True)
        self.scope.enter(tape, [self.scope.bring(x, v) for x, v in pairs], define)
        self.results = flat(_outputs(step, tape, eqn))
        self.used = step.used(self.results)
        scalars = [step.scalars[k] for k in self.used]
        functions = any(DEAR.search(s.text) for s in scalars)
        loops = any(s.lines for s in scalars)
        self.dear = bool(step.checks) or loops or functions or step.length(self.used) > MANY

    def lines(self, names: Sequence[str]) -> list[str]:
        """The branch, which gives its results these *names*."""
        step = self.step
        inside = [
            line for k in self.used for on in (False, True) for line in step.statements([k], on)
        ]
        pairs = zip(names, self.results, strict=True)
        return inside + [f"{name} = {step.scalars[k].code}({step.name(k)})" for name, k in pairs]


def _apart(step: Step, eqn: Equation, number: int, branches: Sequence[_Branch]) -> list[Elements]:
    """The results as names that the branch which is taken gives its own."""
    sizes = [out.aval.size for out in eqn.outs]
    prefix = branches[0].step.prefix
    names = [f"{prefix}y{k}_{e}" for k, size in enumerate(sizes) for e in range(size)]
    lines = []
    for k, branch in enumerate(branches):
        test = _test(step, number, k).format(step.name(number))
        last = k == len(branches) - 1
        lines.append("else:" if last else f"{'el' if k else ''}if {test}:")
        lines += [f"    {line}" for line in branch.lines(names) or ["pass"]]
    args = dict.fromkeys([number, *(k for branch in branches for k in branch.args)])
    checks = sum(branch.step.checks for branch in branches)
    step.checks += checks
    varies = checks > 0 or any(step.scalars[k].varies for k in args)
    place = step.known_as(Scalar("", tuple(args), "", varies, lines=tuple(lines)))
    found, rest = [], iter(names)
    for out in eqn.outs:
        code = CODES[out.aval.dtype]
        texts = [next(rest) for _ in range(out.aval.size)]
        numbers = [step.add(text, (place,), code, varies, True) for text in texts]
        found.append(np.array(numbers, np.int64).reshape(out.aval.shape))
    return found
