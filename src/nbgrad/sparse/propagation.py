"""Patterns: which elements of x the results of a linear tape depend on, equation by equation.

An operation says by its kind how: elementwise operations unite the sets of their operands, element by
element; others have a rule, or a kind's, that says which elements a result is made of (``Rules.reach``);
of what has neither each element may depend on all. Loops and branches are gone through.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.interpret import evaluate
from nbgrad.core.tape import Equation, Literal, Tape, Var
from nbgrad.machine import index_sets
from nbgrad.machine.index_sets import Sets
from nbgrad.ops.kinds.forms import Call, Choice, Repeat
from nbgrad.ops.kinds.reaching import Reached, anything

Array = np.ndarray[Any, Any]
MANY = 2000  # equations that a loop runs: beyond, its runs are taken to be alike if they can be


class Known:
    """The values that are known of a tape's variables, computed when they are asked for."""

    def __init__(self, tape: Tape, values: dict[Var, Any]) -> None:
        self.values: dict[Any, Any] = dict(values)
        self.eqns = {out: eqn for eqn in tape.eqns for out in eqn.outs}
        self.unknown: set[Any] = {v for v in tape.inputs if v not in values}

    def get(self, atom: Any) -> Any:
        """The value of *atom*, or None."""
        if isinstance(atom, Literal):
            return atom.value
        if not self._reaches(atom):
            return None
        return self.values[atom]

    def _reaches(self, atom: Var) -> bool:
        """Whether the value is known, once it is computed."""
        todo = [atom]
        while todo:
            var = todo[-1]
            eqn = self.eqns.get(var)
            if var in self.values or var in self.unknown or eqn is None:
                if eqn is None and var not in self.values:
                    self.unknown.add(var)
                todo.pop()
                continue
            reads = [a for a in eqn.inputs if isinstance(a, Var)]
            if any(a in self.unknown for a in reads):
                self.unknown.update(eqn.outs)
                todo.pop()
                continue
            missing = [a for a in reads if a not in self.values]
            if missing:
                todo.extend(missing)
                continue
            self._compute(eqn)
            todo.pop()
        return atom in self.values

    def _compute(self, eqn: Equation) -> None:
        xs = [a.value if isinstance(a, Literal) else self.values[a] for a in eqn.inputs]
        with np.errstate(all="ignore"):
            found = evaluate(eqn, xs)
        if len(eqn.outs) == 1:
            self.values[eqn.out] = found
        else:
            self.values.update(zip(eqn.outs, found, strict=True))


class Propagation:
    """Sets of columns, of which there are *columns*, for the variables of a tape that have any."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.unions: dict[Any, Any] = {}

    def run(self, tape: Tape, sets: Sequence[Sets | None], known: Known) -> list[Sets | None]:
        """The sets of the outputs, of those of the inputs; None where there are none."""
        env: dict[Any, Sets] = {
            v: s for v, s in zip(tape.inputs, sets, strict=True) if s is not None and s.count
        }
        for eqn in tape.eqns:
            if env.keys().isdisjoint(eqn.inputs):
                continue
            found = self._of(eqn, [env.get(a) for a in eqn.inputs], known)
            pairs = zip(eqn.outs, found, strict=True)
            env |= {v: s for v, s in pairs if s is not None and s.count and v.aval.inexact}
        return [env.get(a) for a in tape.outputs]

    def _of(self, eqn: Equation, sets: list[Sets | None], known: Known) -> Sequence[Sets | None]:
        """The sets of the results of one equation."""
        prim, form = eqn.prim, eqn.prim.lower
        if isinstance(form, Call):
            body = form.tape(eqn.sig)
            values = {v: known.get(a) for v, a in zip(body.inputs, eqn.inputs, strict=True)}
            inner = Known(body, {v: x for v, x in values.items() if x is not None})
            return self.run(body, sets, inner)
        if isinstance(form, Choice):
            return self._chosen(eqn, sets, known)
        if isinstance(form, Repeat):
            return self._repeated(eqn, sets, known)
        if prim.kind == "elementwise":
            return [self._aligned(eqn, sets, known)]
        return self._reached(eqn, sets, known)

    # -------------------------------------------------------------------------- elementwise

    def _aligned(self, eqn: Equation, sets: list[Sets | None], known: Known) -> Sets | None:
        shape = eqn.out.aval.shape
        found: Sets | None = None
        for k, one in enumerate(sets):
            if one is None:
                continue
            given = eqn.inputs[k].aval.shape  # type: ignore[union-attr]
            if given != shape:
                numbers = np.arange(1, len(one) + 1).reshape(given)
                one = index_sets.pick(one, np.broadcast_to(numbers, shape))
            kept = self._kept(eqn, sets, k, known)
            if kept is not None:
                one = index_sets.within(one, np.broadcast_to(kept, shape).reshape(-1))
            found = one if found is None else self._united(found, one)
        return found

    def _kept(self, eqn: Equation, sets: list[Sets | None], k: int, known: Known) -> Array | None:
        """Where the result changes with operand *k*, if what it is multiplied by is known."""
        others = [known.get(a) for a, s in zip(eqn.inputs, sets, strict=True) if s is None]
        if not others or any(x is None for x in others):
            return None
        if all(np.ndim(x) == 0 and x != 0 for x in others):
            return None
        rest = iter(others)
        xs = [
            next(rest) if s is None else np.asarray(float(j == k), a.aval.dtype)  # type: ignore[union-attr]
            for j, (s, a) in enumerate(zip(sets, eqn.inputs, strict=True))
        ]
        with np.errstate(all="ignore"):
            found: Array = np.asarray(evaluate(eqn, xs)) != 0
        return found

    def _united(self, a: Sets, b: Sets) -> Sets:
        """The union, found again for the same two."""
        key = (id(a), id(b))
        if key not in self.unions:
            self.unions[key] = index_sets.union(a, b), a, b  # which keeps their names
        found: Sets = self.unions[key][0]
        return found

    # -------------------------------------------------------------------------- by a rule

    def _reached(
        self, eqn: Equation, sets: list[Sets | None], known: Known
    ) -> Sequence[Sets | None]:
        xs, first = [], 1
        for atom, one in zip(eqn.inputs, sets, strict=True):
            if one is not None:
                shape = atom.aval.shape  # type: ignore[union-attr]
                xs.append(np.arange(first, first + len(one)).reshape(shape))
                first += len(one)
            elif isinstance(atom, Var) and atom.aval.inexact:
                xs.append(np.broadcast_to(np.int64(0), atom.aval.shape))
            else:
                xs.append(known.get(atom))
        given = index_sets.stacked([s for s in sets if s is not None])
        reach = eqn.prim.rules.reach
        found = reach(eqn.prim, xs, eqn.params) if reach and len(eqn.outs) == 1 else None
        results = []
        for out in eqn.outs:
            reached = found
            if reached is None:
                reached = anything(eqn.prim, xs, eqn.params, out.aval.shape)
            if isinstance(reached, Reached):
                reached = [reached]
            results.append(self._gathered(given, reached, out.aval.size))
        return results

    def _gathered(self, given: Sets, reached: Sequence[Reached], size: int) -> Sets | None:
        found: Sets | None = None
        for one in reached:
            sets = given
            if one.starts is not None:
                sets = index_sets.grouped(given, one.starts, one.members, self.columns)
            if one.places is not None:
                sets = index_sets.pick(sets, one.places)
            if len(sets) != size:
                raise AssertionError(f"a pattern of {len(sets)} rows for {size} elements")
            found = sets if found is None else index_sets.union(found, sets)
        return found

    # -------------------------------------------------------------------------- branches, loops

    def _chosen(
        self, eqn: Equation, sets: list[Sets | None], known: Known
    ) -> Sequence[Sets | None]:
        """Of the branch that is taken, or of all of them."""
        bodies = [body.tape for body in eqn.params["branches"]]
        which = known.get(eqn.inputs[0])
        if which is not None:
            bodies = [bodies[min(max(int(which), 0), len(bodies) - 1)]]
        results: list[Sets | None] = [None] * len(eqn.outs)
        for body in bodies:
            values = zip(body.inputs, [known.get(a) for a in eqn.inputs[1:]], strict=True)
            inner = Known(body, {v: x for v, x in values if x is not None})
            found = self.run(body, sets[1:], inner)
            results = [self._either(a, b) for a, b in zip(results, found, strict=True)]
        return results

    def _either(self, a: Sets | None, b: Sets | None) -> Sets | None:
        if a is None or b is None:
            return a if b is None else b
        return index_sets.union(a, b)

    def _mapped(
        self, eqn: Equation, sets: list[Sets | None], known: Known
    ) -> Sequence[Sets | None] | None:
        """Of a loop whose runs are alike: the sets of one run, and where those of all begin.

        None if the carry comes to depend on something.
        """
        layout, body = eqn.prim.lower.layout(eqn.params), eqn.params["body"].tape
        rows = layout.constants + layout.carry
        given: list[Sets | None] = []
        begins: list[Array] = []
        strides: list[Array] = []
        first = 1
        for k, (one, var) in enumerate(zip(sets, body.inputs, strict=True)):
            if one is None:
                given.append(None)
                continue
            size = var.aval.size
            given.append(index_sets.singles(size, sum([len(b) for b in begins])))
            begins.append(np.arange(first, first + size))
            strides.append(np.full(size, size if k >= rows else 0))
            first += len(one)
        begin, stride = np.concatenate(begins), np.concatenate(strides)
        pairs = zip(body.inputs[: layout.constants], eqn.inputs, strict=False)
        values = {v: x for v, a in pairs if (x := known.get(a)) is not None}
        found = Propagation(len(begin)).run(body, given, Known(body, values))
        if any(s is not None for s in found[: layout.carry]):
            return None
        whole = index_sets.stacked([s for s in sets if s is not None])
        results: list[Sets | None] = [None] * layout.carry
        steps = np.arange(layout.count)[:, None]
        for one in found[layout.carry :]:
            if one is None:
                results.append(None)
                continue
            lengths = np.tile(np.diff(one.starts), layout.count)
            inside = one.indices[one.starts[0] : one.starts[-1]]
            members = begin[inside] + steps * stride[inside]
            starts = np.concatenate([[0], np.cumsum(lengths)])
            results.append(index_sets.grouped(whole, starts, members, self.columns))
        return results

    def _repeated(
        self, eqn: Equation, sets: list[Sets | None], known: Known
    ) -> Sequence[Sets | None]:
        """Run after run, as the loop goes; all at once where there are many that nothing is passed between."""
        layout, body = eqn.prim.lower.layout(eqn.params), eqn.params["body"].tape
        rows = layout.constants + layout.carry
        if layout.count * len(body) > MANY and not any(
            s is not None for s in sets[layout.constants : rows]
        ):
            found = self._mapped(eqn, sets, known)
            if found is not None:
                return found
        values = [known.get(a) for a in eqn.inputs]
        carry = sets[layout.constants : rows]
        carried = values[layout.constants : rows]
        written: list[list[Sets | None]] = [[] for _ in eqn.outs[layout.carry :]]
        order = range(layout.count)
        for k in reversed(order) if layout.reverse else order:
            given = [*sets[: layout.constants], *carry]
            held = [*values[: layout.constants], *carried]
            for s, x, var in zip(sets[rows:], values[rows:], body.inputs[rows:], strict=True):
                size = var.aval.size
                given.append(None if s is None else s.rows(k * size, (k + 1) * size))
                held.append(None if x is None else x[k])
            pairs = zip(body.inputs, held, strict=True)
            inner = Known(body, {v: x for v, x in pairs if x is not None})
            outs = self.run(body, given, inner)
            carry = outs[: layout.carry]
            carried = [
                None if s is not None else inner.get(a)
                for a, s in zip(body.outputs[: layout.carry], carry, strict=True)
            ]
            for each, one in zip(written, outs[layout.carry :], strict=True):
                each.append(one)
        stacks = []
        for each, out in zip(written, eqn.outs[layout.carry :], strict=True):
            if layout.reverse:
                each.reverse()
            size = out.aval.size // max(layout.count, 1)
            filled = [index_sets.nothing(size) if s is None else s for s in each]
            stacks.append(index_sets.stacked(filled) if filled else None)
        return [*carry, *stacks]
