"""What a loop carried, from the last run to the first, its number of runs unknown beforehand.

All is kept in a list that grows; or, in a budget, of every so many runs: when the budget is spent every
other one is dropped. What lies between is run again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from nbgrad.core.aval import several
from nbgrad.core.interpret import runner
from nbgrad.core.ports import ports
from nbgrad.core.primitive import Rules
from nbgrad.core.results import SeveralResults
from nbgrad.core.tape import Body, Tape
from nbgrad.ops.control.loops import as_results
from nbgrad.ops.kinds.forms import Iterate

Carry = list[Any]
# What a loop evaluates in Python before it is compiled, which takes about as long: equations, and runs,
# as the code of a run of many equations takes the longer to compile.
LONG, RUNS = 30_000, 1000
# What loops have evaluated so far, of so many; what a run is, and how much is enough.
MANY = 1000
_spent: dict[Any, tuple[int, int, int]] = {}


def _equations(tape: Tape, again: bool) -> int:
    """How many *tape* has, those of loops in it included, as often as they run if *again*."""
    total = len(tape)
    for eqn in tape.eqns:
        for held in eqn.params.values():
            if held.__class__ is Body:
                rounds = eqn.params.get("rounds") if again else None
                total += _equations(held.tape, again) * (1 if rounds is None else rounds.count)
    return total


def _begun(*tapes: Tape) -> tuple[int, int, int]:
    """Nothing is spent; the equations of a run, and how many are enough."""
    once, again = (1 + sum(_equations(tape, a) for tape in tapes) for a in (False, True))
    return 0, again, max(LONG, RUNS * once)


class Runs:
    """A loop: whether it goes on, what a run makes of the carry, and what it may take."""

    def __init__(
        self,
        going: Callable[[Carry], Any],
        run: Callable[[Carry], Carry],
        max_steps: int | None,
        max_bytes: int | None,
    ) -> None:
        self.going, self.run = going, run
        self.max_steps, self.max_bytes = max_steps, max_bytes

    def backwards(self, carry: Carry) -> Iterator[Carry]:
        """The carry before each run, the last first."""
        limit = None
        if self.max_bytes is not None:
            size = max(1, sum(math.prod(x.shape) * x.dtype.itemsize for x in carry))
            limit = max(2, self.max_bytes // (2 * size))  # as much for what is run again
        kept: list[Carry] = []
        every, steps = 1, 0
        while steps != self.max_steps and self.going(carry):
            if steps % every == 0:
                if len(kept) == limit:
                    kept, every = kept[::2], 2 * every
                if steps % every == 0:
                    kept.append(carry)
            carry = self.run(carry)
            steps += 1
        while kept:
            yield from self._again(kept.pop(), min(every, steps - len(kept) * every), limit)

    def _again(self, carry: Carry, count: int, limit: int | None) -> Iterator[Carry]:
        """The same of *count* runs from *carry*."""
        every = 1 if limit is None else -(-count // limit)
        kept = []
        for k in range(count):
            if k % every == 0:
                kept.append(carry)
            if k < count - 1:
                carry = self.run(carry)
        if every == 1:
            yield from reversed(kept)
            return
        while kept:
            yield from self._again(kept.pop(), min(every, count - len(kept) * every), limit)


def _prepare(xs: Any, params: Any) -> Any:
    return xs, several(*[v.aval for v in params["finish"].tape.inputs]), ()


class _Found(Exception):
    """What a compiled program found, while a loop ran in Python."""


def by_kernel(prim: Any, xs: Any, params: dict[str, Any], run: Callable[..., Any]) -> Any:
    """The results of a loop, by ``run(tick, *xs, **params)``, which calls *tick* in each round.

    Once these are many, in one call or several, a compiled program begins again; from then on it always
    does.
    """
    found = ports.natively(prim, xs, params, False)
    if found is not None:
        return as_results(found)
    key = prim, params["body"]
    spent, each, enough = _spent.get(key) or _begun(params["cond"].tape, params["body"].tape)

    def tick() -> None:
        nonlocal spent
        spent += each
        if enough <= spent < enough + each:
            found = ports.natively(prim, xs, params, True)
            if found is not None:
                raise _Found(found)

    try:
        return run(tick, *xs, **params)
    except _Found as done:
        return as_results(done.args[0])
    finally:
        if len(_spent) > MANY:
            _spent.clear()
        _spent[key] = spent, each, enough


def _evaluate(*xs: Any, **params: Any) -> Any:
    return by_kernel(while_back, xs, params, _run)


def _run(
    tick: Callable[[], None],
    *xs: Any,
    cond: Body,
    body: Body,
    back: Body,
    finish: Body,
    **params: Any,
) -> Any:
    n, scattered = params["constants"], params["scattered"]
    end, seeds = len(body.tape.inputs), sum(params["seeded"])
    given, carry, cts = xs[:n], list(xs[n:end]), list(xs[end : end + seeds])
    totals = [np.zeros(v.aval.shape, v.aval.dtype) for v in finish.tape.inputs[: len(scattered)]]

    test, step, turn = runner(cond.tape), runner(body.tape), runner(back.tape)

    def run(carry: Carry) -> Carry:
        tick()
        return step([*given, *carry])

    going = lambda carry: test([*given, *carry])[0]
    runs = Runs(going, run, params["max_steps"], params["max_bytes"])
    for before in runs.backwards(carry):
        found = iter(turn([*given, *before, *cts, *xs[end + seeds :]]))
        for k, by_index in enumerate(scattered):
            part = np.asarray(next(found))
            if by_index:
                np.add.at(totals[k], next(found), part)
            else:
                totals[k] = totals[k] + part
        cts = list(found)
    return as_results([*totals, *cts])


def _no_rule(*args: Any) -> NoReturn:
    raise AssertionError("a program is made after all derivatives")


while_back = SeveralResults(
    name="while_back",
    kind="opaque",
    evaluate=_evaluate,
    prepare=_prepare,
    rules=Rules(_no_rule, _no_rule),
    lower=Iterate(),
    grad_name="WhileLoopSums",
    doc="The sums that the way back of a while_loop makes, and the cotangents of what it began with.",
    registered=False,
)
