"""Loops and choices that are no kernel: programs on the card, of which the host asks for one after the other.

What is carried stays there. Of a loop whose number of rounds is known nothing comes back; a condition is one number that is read
in each round, and so is the number of a branch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.backends.cuda.memory import CudaBuffer, Store
from nbgrad.backends.cuda.stepping import moved_in
from nbgrad.core.tape import Equation, Literal, Tape, Var
from nbgrad.ops.control.runs import Runs
from nbgrad.program.loops import Fork, Round, Trip, solid, summed, with_own_outputs

if TYPE_CHECKING:
    from nbgrad.backends.cuda.program import CudaProgram

Make = Callable[[Tape], "CudaProgram"]
Run = Callable[[list[Any]], list[CudaBuffer]]
Buffers = Sequence[CudaBuffer]


def looped(item: Any, store: Store, make: Make) -> Run | None:
    """What runs *item* by programs of its tapes; None if it is no loop and no choice.

    Results of such programs are buffers on the card; *make* makes them.
    """
    if isinstance(item, Round):
        return Scanned(item, store, make).run
    if isinstance(item, Trip) and not _numbers_given(item.eqn):
        return Iterated(item.eqn, store, make).run
    return Switched(item.eqn, store, make).run if isinstance(item, Fork) else None


def _numbers_given(eqn: Equation) -> bool:
    """Whether some tape of a loop has a number for a result."""
    tapes = [eqn.params[name].tape for name in ("cond", "body", "back") if name in eqn.params]
    return any(isinstance(a, Literal) for tape in tapes for a in tape.outputs)


def _empty(store: Store, shape: tuple[int, ...], dtype: np.dtype[Any]) -> CudaBuffer:
    return CudaBuffer(store, store.empty(shape, dtype), shape, dtype)


class Scanned:
    """A loop of so many rounds: each writes its rows where they belong."""

    def __init__(self, item: Round, store: Store, make: Make) -> None:
        self.rounds, self.outs, self.store = item.rounds, item.tape.outputs, store
        self.program = make(item.tape)

    def run(self, xs: list[Any]) -> list[CudaBuffer]:
        """The last carry, and the stacks of what the rounds give."""
        rounds, store = self.rounds, self.store
        there = [moved_in(x, store) for x in xs]
        first, last = rounds.constants, rounds.constants + rounds.carry
        given, carry, stacks = there[:first], there[first:last], there[last:]
        outs = [a for a in self.outs if isinstance(a, Var)]
        results = [
            _empty(store, (rounds.count, *out.aval.shape), out.aval.dtype)
            for out in outs[rounds.carry :]
        ]
        # Two places for the carry: what one round writes the next one reads.
        places = [
            [_empty(store, v.aval.shape, v.aval.dtype) for v in outs[: rounds.carry]]
            for _ in range(2)
        ]
        order = range(rounds.count)
        for number, k in enumerate(reversed(order) if rounds.reverse else order):
            into = dict(
                zip(outs, [*places[number % 2], *(row(y, k) for y in results)], strict=True)
            )
            found = self.program.run([*given, *carry, *(row(x, k) for x in stacks)], None, into)
            carry = [_kept(y, places, number) for y in found[: rounds.carry]]
            for y, part in zip(results, found[rounds.carry :], strict=True):
                if part.root is not y.root:  # what no kernel makes lies elsewhere
                    _copied(part, y, k)
        return [*carry, *results]


def _kept(part: CudaBuffer, places: list[list[CudaBuffer]], number: int) -> CudaBuffer:
    """A part of the carry, not in what the next round writes to."""
    after = places[(number + 1) % len(places)]
    return part.apart() if any(part.root is y.root for y in after) else part


def row(stack: CudaBuffer, k: int) -> CudaBuffer:
    """Row *k* of a stack: the same memory."""
    store, shape = stack.store, stack.shape[1:]
    size = math.prod(shape)
    if not size:
        return _empty(store, shape, stack.dtype)
    start = k * size * stack.dtype.itemsize
    held = store.part(store.raw(stack.held), start, shape, stack.dtype)
    return CudaBuffer(store, held, shape, stack.dtype, stack.root)


def _copied(part: CudaBuffer, stack: CudaBuffer, k: int) -> None:
    """Let row *k* be *part*, by way of the host."""
    found = np.ascontiguousarray(part.host()).reshape(-1).view(np.uint8)
    if found.size:
        stack.store.written(stack.store.raw(stack.held), k * found.size, found)


class Iterated:
    """A loop that goes on while a condition holds; or the way back of one, which runs it forward first."""

    def __init__(self, eqn: Equation, store: Store, make: Make) -> None:
        self.params, self.store = eqn.params, store
        tapes = {name: eqn.params[name].tape for name in ("cond", "body")}
        if "back" in eqn.params:
            tapes["back"] = summed(eqn)
        self.program = cache(lambda name: make(with_own_outputs(tapes[name])))
        self.sums = [v.aval for v in eqn.params["finish"].tape.inputs] if "back" in tapes else []

    def run(self, xs: list[Any]) -> list[CudaBuffer]:
        """What is carried in the end; or the sums, and the cotangents of what was carried first."""
        there, params = [moved_in(x, self.store) for x in xs], self.params
        n, end = params["constants"], len(params["body"].tape.inputs)
        given, carry = there[:n], there[n:end]

        def going(carry: list[CudaBuffer]) -> bool:
            return bool(self.program("cond").run([*given, *carry])[0].host())

        def forward(carry: list[CudaBuffer]) -> list[CudaBuffer]:
            return self.program("body").run([*given, *carry])

        if "back" in params:
            runs = Runs(going, forward, params["max_steps"], params["max_bytes"])
            return self.backwards(runs, given, carry, there[end:])
        steps = 0
        carry = [x.apart() for x in carry]  # nothing is given back as it was taken
        while steps != params["max_steps"] and going(carry):
            carry = forward(carry)
            steps += 1
        return carry

    def backwards(
        self, runs: Runs, given: Buffers, carry: list[CudaBuffer], more: Buffers
    ) -> list[CudaBuffer]:
        seeds = sum(self.params["seeded"])
        cts, extra = [x.apart() for x in more[:seeds]], more[seeds:]
        scattered = self.params["scattered"]
        sums = [
            moved_in(np.zeros(aval.shape, aval.dtype), self.store)
            for aval in self.sums[: len(scattered)]
        ]
        for before in runs.backwards(carry):
            found = self.program("back").run([*given, *before, *cts, *extra, *sums])
            sums, cts = found[: len(sums)], found[len(sums) :]
        return [*sums, *cts]


class Switched:
    """A choice among branches: one is made a program when it is first taken."""

    def __init__(self, eqn: Equation, store: Store, make: Make) -> None:
        branches, outs = eqn.params["branches"], eqn.outs
        self.count, self.store = len(branches), store
        self.branch = cache(lambda k: make(with_own_outputs(solid(branches[k].tape, outs))))

    def run(self, xs: list[Any]) -> list[CudaBuffer]:
        """The results of the branch whose number is the first operand."""
        index, *operands = xs
        number = int(index.host() if isinstance(index, CudaBuffer) else index)
        taken = self.branch(min(max(number, 0), self.count - 1))
        return taken.run([moved_in(x, self.store) for x in operands])
