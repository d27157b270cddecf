"""Loops that go on where one like them ended, as one loop.

A graph that was folded while it was recorded has a loop for each fold; so has a tape of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from nbgrad.core.aval import alike
from nbgrad.core.node import placeholder
from nbgrad.core.primitive import bind
from nbgrad.core.tape import Atom, Equation, Tape, Var
from nbgrad.ops.basis import concatenate
from nbgrad.ops.kinds.forms import Repeat, Rounds
from nbgrad.transforms.looped import FEW, spelled
from nbgrad.transforms.stacking import Rerolled


def chained(
    tape: Tape, stackable: Collection[Var] = (), asked: Collection[Var] = ()
) -> Rerolled | None:
    """Return *tape* with chains of loops as one loop each, None if it has none.

    Parameters
    ----------
    tape : Tape
    stackable : collection of Var
        Inputs whose values may be put together before the tape runs.
    asked : collection of Var
        Variables that stay, beside the outputs.
    """
    chains = [chain for chain in _chains(tape, asked) if len(chain) > 1]
    if not chains:
        return None
    stackable = set(stackable) - {*asked, *[a for a in tape.outputs if isinstance(a, Var)]}
    number = {v: k for k, v in enumerate(tape.inputs)}
    ends = {chain[-1]: chain for chain in chains}
    gone = {eqn for chain in chains for eqn in chain}
    new = _New(number, stackable)
    for eqn in tape.eqns:
        if eqn in ends:
            new.join(ends[eqn])
        elif eqn not in gone:
            new.eqns.append(eqn)
    read = {a for eqn in new.eqns for a in eqn.inputs} | {*tape.outputs, *asked}
    kept = [v for v in tape.inputs if v in read or v not in stackable]
    inputs, sources = (*kept, *new.inputs), (*[number[v] for v in kept], *new.sources)
    return Rerolled(Tape(inputs, tuple(new.eqns), tape.outputs), sources)


def _chains(tape: Tape, asked: Collection[Var]) -> Collection[list[Equation]]:
    """The loops of *tape*, each with those that go on from it."""
    loops = [eqn for eqn in tape.eqns if eqn.sig.prim.lower.__class__ is Repeat]
    if len(loops) < 2:
        return ()
    reads = Counter([a for eqn in tape.eqns for a in eqn.inputs])
    reads.update([*tape.outputs, *asked])
    made: dict[Any, list[Equation]] = {}  # by the first of the carry that one ends with
    chains: dict[int, list[Equation]] = {}
    for eqn in loops:
        rounds = eqn.params["rounds"]
        if rounds.reverse or not rounds.carry or len(eqn.outs) > rounds.carry:
            continue
        chain = made.get(eqn.inputs[rounds.constants])
        if chain is None or not _goes_on(chain[-1], eqn, rounds, reads):
            chain = []
            chains[id(chain)] = chain
        chain.append(eqn)
        made[eqn.outs[0]] = chain
    return chains.values()


def _goes_on(first: Equation, then: Equation, rounds: Rounds, reads: Counter[Any]) -> bool:
    """Whether *then* does the same as *first*, from where that ended, and nobody else reads that."""
    n, before = rounds.constants, first.params["rounds"]
    return (
        before.constants == n
        and before.carry == rounds.carry
        and then.inputs[:n] == first.inputs[:n]
        and then.inputs[n : n + rounds.carry] == first.outs
        and all(reads[out] == 1 for out in first.outs)
        and then.params["body"] == first.params["body"]
        and then.params.keys() == first.params.keys() == {"body", "rounds"}
    )


class _New:
    """The new tape, as far as it is written."""

    def __init__(self, number: dict[Var, int], stackable: Collection[Var]) -> None:
        self.number, self.stackable = number, stackable
        self.eqns: list[Equation] = []
        self.inputs: list[Var] = []
        self.sources: list[Any] = []

    def join(self, chain: Sequence[Equation]) -> None:
        """Write one loop for all of *chain*."""
        rounds = [eqn.params["rounds"] for eqn in chain]
        n = rounds[0].constants
        first = n + rounds[0].carry
        count = sum(r.count for r in rounds)
        rows = zip(*[eqn.inputs[first:] for eqn in chain], strict=True)
        operands = [*chain[0].inputs[:first], *[self._stack(row, count) for row in rows]]
        nodes = [placeholder(a.aval) for a in operands]  # type: ignore[union-attr]
        now = Rounds(n, rounds[0].carry, count, False)
        node = bind(chain[0].prim, *nodes, body=chain[0].params["body"], rounds=now)
        self.eqns.append(Equation(node.sig, tuple(operands), chain[-1].outs))

    def _stack(self, rows: Sequence[Any], count: int) -> Var:
        """The stack of what those of *rows* hold."""
        aval = alike(rows[0].aval, (count, *rows[0].aval.shape[1:]))
        out = Var(aval)
        if all(a in self.stackable for a in rows):
            self.inputs.append(out)
            self.sources.append(tuple([self.number[a] for a in rows]))
            return out
        parts: list[Atom] = list(rows)
        while len(parts) > FEW:
            parts = [self._put_together(parts[k : k + FEW]) for k in range(0, len(parts), FEW)]
        return self._put_together(parts, out)

    def _put_together(self, parts: Sequence[Any], out: Var | None = None) -> Var:
        if out is None:
            count = sum(a.aval.shape[0] for a in parts)
            out = Var(alike(parts[0].aval, (count, *parts[0].aval.shape[1:])))
        eqns = spelled(lambda *xs: bind(concatenate, *xs, axis=0), parts, out)
        assert eqns is not None
        self.eqns += eqns
        return out
