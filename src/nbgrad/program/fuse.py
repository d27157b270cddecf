"""Fusion: which equations share a loop nest, and which results must be in memory.

Elementwise equations and views are recomputed in the nest that needs them; results of
reductions and library calls are kept. A nest holds every result of one iteration space that can
be computed together, so a loss and all its elementwise gradients are one pass.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from nbgrad.core.frozen import Value
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.ops.kinds.forms import Assembly, Choice, Combine, Expression, Iterate, Repeat, View
from nbgrad.program.cost import SIMPLE_COST, cost_of
from nbgrad.program.moved import read_across, read_at_several
from nbgrad.program.sharing import shared_outputs
from nbgrad.program.values import emittable, has_code

# ns an element that computing again in other nests may cost; storing and loading costs about as much.
RECOMPUTE_LIMIT = 1.5
MAX_DEPTH = 60
MAX_ROOTS = 24
# Equations from which on scalars are computed once rather than where they are needed.
LONG_TAPE = 300
# How many steps back a result looks for a nest to join: planning stays linear in the tape.
NEAR = 48
# Memory is slow at many arrays of more elements at once: then results share a nest if they share operands.
LARGE, MANY_ARRAYS = 1 << 14, 8


class Group:
    """Results computed in one nest over ``shape``; ``reduced`` axes if any is a reduction.

    ``windows`` has the starts of sums over a smaller space, 0 outside of it, ``large`` what is large.
    """

    def __init__(self, shape: tuple[int, ...], reduced: tuple[int, ...] | None = None) -> None:
        self.shape, self.reduced = shape, reduced
        self.roots: list[Equation | Var] = []
        self.outs: set[Var] = set()
        self.windows: dict[Var, tuple[int, ...]] = {}
        self.large: set[Var] = set()


class HostCall(Value):
    """An equation run by its NumPy reference (or a library) between nests."""

    eqn: Equation


class Assemble(Value):
    """An equation that writes each operand into a window of its result, one nest for each."""

    eqn: Equation
    assembly: Assembly


Step = Group | HostCall | Assemble

# Beyond this many parts the operands are stored first, so that all parts share one copy kernel.
MAX_INLINE_PARTS = 16
# Of such parts at least so many are looked at together: planning stays linear in the tape.
MAX_PARTS = 64
# Copies by a broadcast, each of which would compute a value of a few operations again.
MANY_COPIES = 8


def is_free(eqn: Equation) -> bool:
    """Whether *eqn* can be recomputed inside any nest: elementwise with kernel text, or a view."""
    lower = eqn.prim.lower
    if isinstance(lower, View):
        return has_code(eqn.out.aval.dtype) and assembly_of(eqn) is None
    return isinstance(lower, Expression) and emittable(eqn)


def assembly_of(eqn: Equation) -> Assembly | None:
    """How *eqn* writes its result by windows, if it does."""
    lower = eqn.prim.lower
    if not has_code(eqn.out.aval.dtype):
        return None
    if isinstance(lower, View) and isinstance(eqn.inputs[0], Var):
        irregular = lower.irregular(eqn.params, eqn.inputs[0].aval.shape)
        return lower.assembly if irregular else None
    return lower if isinstance(lower, Assembly) else None


def is_reduction(eqn: Equation) -> bool:
    """Whether *eqn* is a reduction that a nest can compute."""
    lower = eqn.prim.lower
    return (
        isinstance(lower, Combine)
        and has_code(eqn.out.aval.dtype)
        and eqn.out.aval.dtype.kind in lower.dtypes
    )


class Fusion:
    """Decides what is stored, then groups the stored results of a tape into steps.

    ``extra`` are variables that a later stage found it must have in memory.
    """

    def __init__(self, tape: Tape, extra: set[Var]) -> None:
        self.tape = tape
        self.producers = {out: eqn for eqn in tape.eqns for out in eqn.outs}
        self.position = {out: k for k, eqn in enumerate(tape.eqns) for out in eqn.outs}
        self.free = {eqn.out for eqn in tape.eqns if is_free(eqn)}
        self.stored: set[Var] = set(extra)
        self.shared = shared_outputs(tape, self.producers, self.free, extra)
        self.cost: dict[Var, float] = {}
        self._choose_stored()
        self.steps: list[Step] = []
        self.step_of: dict[Var, int] = {}
        for eqn in tape.eqns:
            self._schedule(eqn)
        self._widen_sums()

    # -------------------------------------------------------------------------------- in memory

    def _choose_stored(self) -> None:
        stored = self.stored
        views = set(self.shared.values())
        stored.update(a for a in self.tape.outputs if isinstance(a, Var) and a not in views)
        stored.update(self.shared)
        if len(self.tape) > LONG_TAPE:
            stored |= self._reused_scalars()
        depth: dict[Var, int] = defaultdict(int)
        stored |= read_across(self.tape, self.free)
        self.stored |= read_at_several(self.tape, self.free, stored, cost_of)
        for eqn in self.tape.eqns:
            operands = [a for a in eqn.inputs if isinstance(a, Var)]
            if eqn.out not in self.free:
                stored.update(eqn.outs)
                if assembly_of(eqn) is not None:
                    if len(operands) > MAX_INLINE_PARTS:
                        stored.update(operands)
                elif isinstance(eqn.prim.lower, (Repeat, Iterate, Choice)):
                    stored.update(operands)
                elif not is_reduction(eqn):
                    stored.update(self.memory_base(a) for a in operands)
                continue
            depth[eqn.out] = 1 + max((0 if a in stored else depth[a] for a in operands), default=0)
            self.cost[eqn.out] = cost_of(eqn) + sum(
                0.0 if a in stored else self.cost.get(a, 0.0) for a in operands
            )
            if depth[eqn.out] > MAX_DEPTH:
                stored.add(eqn.out)
            self._store_if_repeated(eqn)

    def _reused_scalars(self) -> set[Var]:
        """0-d values with several readers: in a long loop over scalars each is computed once.

        Else each brings all it depends on into every reader's nest: 95 s for 40 Runge-Kutta steps.
        """
        readers = Counter(a for eqn in self.tape.eqns for a in eqn.inputs if isinstance(a, Var))
        several = (eqn for eqn in self.tape.eqns if readers[eqn.out] > 1 and not eqn.out.aval.ndim)
        return {eqn.out for eqn in several if eqn.out in self.free and not _is_view(eqn)}

    def _store_if_repeated(self, eqn: Equation) -> None:
        """A costly value that a broadcast would recompute for each copy is stored."""
        x = eqn.inputs[0] if eqn.inputs else None
        if not isinstance(x, Var) or not x.aval.ndim or eqn.out.aval.size < 2 * x.aval.size:
            return
        limit = 2.5 if eqn.out.aval.size >= MANY_COPIES * x.aval.size else 5.0
        if self.cost.get(x, 0.0) > limit * SIMPLE_COST:
            self.stored.add(x)

    def memory_base(self, var: Var) -> Var:
        """The variable whose buffer a library call reads *var* from, through views."""
        while var in self.producers and var not in self.stored:
            eqn = self.producers[var]
            x = eqn.inputs[0]
            lower = eqn.prim.lower
            if not isinstance(lower, View) or lower.name in ("full", "pad"):
                return var
            if not isinstance(x, Var):
                return var
            var = x
        return var

    # ---------------------------------------------------------------------------------- grouping

    def reads(self, var: Var) -> set[Var]:
        """Stored variables (and inputs) that computing *var* reads."""
        found: set[Var] = set()
        seen = {var}
        stack = [a for a in self.producers[var].inputs if isinstance(a, Var)]
        while stack:
            x = stack.pop()
            if x in seen:
                continue
            seen.add(x)
            if x in self.stored or x not in self.producers:
                found.add(x)
            else:
                stack.extend(a for a in self.producers[x].inputs if isinstance(a, Var))
        return found

    def _same_points(self, var: Var, group: Group) -> bool:
        """Whether *var* reads the results of *group* only at the point it is computed at."""
        stack = [(var, False)]
        seen = set()
        while stack:
            x, moved = stack.pop()
            if (x, moved) in seen:
                continue
            seen.add((x, moved))
            if x in group.outs and x is not var:
                if moved or x not in self.free or x.aval.shape != group.shape:
                    return False
                continue
            if x in self.producers and (x is var or x not in self.stored):
                eqn = self.producers[x]
                view = isinstance(eqn.prim.lower, View)
                stack.extend((a, moved or view) for a in eqn.inputs if isinstance(a, Var))
        return True

    def _schedule(self, eqn: Equation) -> None:
        out = eqn.out
        if out not in self.stored:
            return
        if out in self.free:
            self._join(out, out.aval.shape, None)
        elif is_reduction(eqn):
            self._join(out, eqn.inputs[0].aval.shape, eqn.params["axis"])  # type: ignore[union-attr]
        else:
            self.step_of.update(dict.fromkeys(eqn.outs, len(self.steps)))
            assembly = assembly_of(eqn)
            self.steps.append(HostCall(eqn) if assembly is None else Assemble(eqn, assembly))

    def _join(self, out: Var, shape: tuple[int, ...], reduced: tuple[int, ...] | None) -> None:
        """Add a result to the last group it can share, or to a new one."""
        reads = self.reads(out)
        needed = max((self.step_of[x] for x in reads if x in self.step_of), default=-1)
        large = {x for x in reads if min(x.aval.size, math.prod(shape)) >= LARGE}
        for k in range(len(self.steps) - 1, max(needed, len(self.steps) - NEAR, 0) - 1, -1):
            group = self.steps[k]
            if not isinstance(group, Group) or group.shape != shape:
                continue
            if reduced is not None and group.reduced not in (None, reduced):
                continue
            many = large and len(group.large) + len(large) >= MANY_ARRAYS
            if many and group.large.isdisjoint(large):
                continue
            if len(group.roots) >= MAX_ROOTS or (
                k == needed and not self._same_points(out, group)
            ):
                continue
            group.reduced = group.reduced if reduced is None else reduced
            break
        else:
            group, k = Group(shape, reduced), len(self.steps)
            self.steps.append(group)
        group.roots.append(self.producers[out] if reduced is not None else out)
        group.outs.add(out)
        group.large |= large | {out}
        self.step_of[out] = k

    def _widen_sums(self) -> None:
        """Move sums into the nest of a slightly larger space that pads what they sum.

        The loss of a stencil and its gradient then are one pass over memory, not two.
        """
        for k, step in enumerate(self.steps):
            if not isinstance(step, Group) or not self._only_full_sums(step):
                continue
            for j, other in enumerate(self.steps):
                start = self._window(step, other) if isinstance(other, Group) else None
                if start is None or not self._can_move(step, j):
                    continue
                assert isinstance(other, Group)
                other.roots += step.roots
                other.outs |= step.outs
                other.windows.update(dict.fromkeys(step.outs, start))
                other.reduced = tuple(range(len(other.shape)))
                for out in step.outs:
                    self.step_of[out] = j
                self.steps[k] = Group(step.shape)
                break
        empty = [k for k, s in enumerate(self.steps) if isinstance(s, Group) and not s.roots]
        if empty:
            keep = [k for k in range(len(self.steps)) if k not in empty]
            number = {old: new for new, old in enumerate(keep)}
            self.steps = [self.steps[k] for k in keep]
            self.step_of = {var: number[k] for var, k in self.step_of.items()}

    def _only_full_sums(self, group: Group) -> bool:
        every = tuple(range(len(group.shape)))
        return bool(group.shape) and all(
            isinstance(r, Equation)
            and r.prim.lower.identity == "0"
            and r.params["axis"] == every
            and r.out.aval.dtype.kind == "f"
            for r in group.roots
        )

    def _window(self, group: Group, other: Group) -> tuple[int, ...] | None:
        """Where values of the shape of *group* stand in the space of *other*, if padded there."""
        every = tuple(range(len(other.shape)))
        fits = (
            other is not group
            and len(other.shape) == len(group.shape)
            and other.reduced in (None, every)
            and all(n <= m for n, m in zip(group.shape, other.shape, strict=True))
        )
        if not fits or math.prod(other.shape) > 1.25 * math.prod(group.shape) + 16:
            return None
        for root in other.roots:
            if not isinstance(root, Var):
                continue
            stack, seen = [root], {root}
            while stack:
                eqn = self.producers.get(stack.pop())
                if eqn is None:
                    continue
                x = eqn.inputs[0]
                lower = eqn.prim.lower
                if isinstance(lower, View) and lower.name == "pad" and isinstance(x, Var):
                    regular = all(step == 1 for step in eqn.params["steps"])
                    if regular and x.aval.shape == group.shape:
                        return tuple(eqn.params["starts"])
                for a in eqn.inputs:
                    if isinstance(a, Var) and a not in seen and a not in self.stored:
                        seen.add(a)
                        stack.append(a)
        return None

    def _can_move(self, group: Group, target: int) -> bool:
        """Whether the results of *group* may be computed in step *target* instead."""
        for out in group.outs:
            if any(self.step_of.get(x, -1) >= target for x in self.reads(out)):
                return False
        for k, step in enumerate(self.steps):
            if k > target:
                continue
            outs = step.outs if isinstance(step, Group) else step.eqn.outs
            if step is not group and any(self.reads(o) & group.outs for o in outs):
                return False
        return True

    def repeated(self) -> set[Var]:
        """Costly variables that more than one step would recompute; of parts of a result the parts."""
        users: dict[Var, set[int | Var]] = defaultdict(set)
        for out, nest in self._nests():
            self._mark(out, nest, users)
        found = {
            var
            for var, nests in users.items()
            if len(nests) > 1
            and self.cost.get(var, 0.0) * (len(nests) - 1) > RECOMPUTE_LIMIT
            and self._costs_more(var, RECOMPUTE_LIMIT / (len(nests) - 1))
        }
        parts = {x for var in found for x in users[var] if isinstance(x, Var)}
        return parts | {var for var in found if parts.isdisjoint(users[var])}

    def _nests(self) -> Iterator[tuple[Var, int | Var]]:
        """What is computed, and in which nest: the parts of a result that is put together have their own."""
        parts: list[Var] = []
        for k, step in enumerate(self.steps):
            if isinstance(step, Group):
                yield from ((out, k) for out in step.outs)
            elif isinstance(step, Assemble) and len(parts) < MAX_PARTS:
                parts += [x for x in step.eqn.inputs if isinstance(x, Var) and x in self.free]
        yield from ((x, x) for x in parts if x not in self.stored)

    def _costs_more(self, var: Var, limit: float) -> bool:
        """Whether computing *var* from memory costs more, each equation counted once."""
        total, seen, stack = 0.0, {var}, [var]
        while stack and total <= limit:
            eqn = self.producers[stack.pop()]
            total += cost_of(eqn)
            for a in eqn.inputs:
                if (
                    isinstance(a, Var)
                    and a not in seen
                    and a in self.free
                    and a not in self.stored
                ):
                    seen.add(a)
                    stack.append(a)
        return total > limit

    def _mark(self, out: Var, step: int | Var, users: dict[Var, set[int | Var]]) -> None:
        stack = [a for a in self.producers[out].inputs if isinstance(a, Var)]
        while stack:
            x = stack.pop()
            if x in self.stored or x not in self.producers or step in users[x]:
                continue
            users[x].add(step)
            stack.extend(a for a in self.producers[x].inputs if isinstance(a, Var))


def _is_view(eqn: Equation) -> bool:
    return isinstance(eqn.prim.lower, View)
