"""Reverse mode: the tape of cotangents, built from the primitives' rules.

Griewank and Walther, Evaluating Derivatives (2008), chapter 3; on a single-assignment list, as in
Pearlmutter and Siskind, Reverse-mode AD in a functional framework (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from nbgrad.config import settings
from nbgrad.core.check import checked
from nbgrad.core.interpret import Environment, read, replay, results_in, walk
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.recipes import Recipe, recipe_of
from nbgrad.core.recipes import replay as again
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Equation, Literal, Tape, Var, living
from nbgrad.ops.identities.shifts import idle
from nbgrad.ops.identities.terms import Terms, partial
from nbgrad.ops.kinds.cotangents import is_number, materialize, plus
from nbgrad.ops.kinds.forms import View
from nbgrad.transforms.kinks import has_kinks, settled
from nbgrad.transforms.reverse import Reverse
from nbgrad.transforms.squares import recorded, unrooted

Hook = Callable[[Var, Any], Any]
# Calls the rule of an equation: given it, its cotangent, result, operands, and which are wanted.
Apply = Callable[[Equation, Any, Any, list[Any], list[bool]], Sequence[Any]]


class _Undefined:
    """The cotangent of what a user-written backward returned None for.

    It is zero, and where nothing else arrives there is no gradient, as opposed to one of zeros.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED = _Undefined()


def call_rule(eqn: Equation, ct: Any, y: Any, xs: list[Any], wants: list[bool]) -> Sequence[Any]:
    """The contributions of one equation to the cotangents of its operands."""
    sig = eqn.sig
    if ct.__class__ is Node and ct.aval is sig.aval and sig.prim.partials is not None:
        numbers = [(x.__class__, repr(x)) for x in xs if x.__class__ is not Node]
        key = (sig, settings.current.nan_policy, *wants, *numbers)
        recipes = _rules.get(key)
        if recipes is None and len(_rules) >= MAX_RULES:
            _rules.clear()
        if recipes is None and numbers:
            _rules[key] = MET
        elif recipes is None or recipes is MET:
            recipes = _rules[key] = _recipes(sig, xs, wants)
        if recipes:
            operands = [ct, y, *(xs if not numbers else [x for x in xs if x.__class__ is Node])]
            return [r if r.__class__ is not Recipe else again(r, operands) for r in recipes]
    return sig.prim.vjp(ct, y, xs, sig.params, wants)  # type: ignore[misc, no-any-return]


# What the rules of elementwise operations record: the same for every equation of a signature, and
# of the numbers in it, which may never come again: those are learnt when they do.
_rules: dict[Any, tuple[Any, ...]] = {}
MET: Any = []
MAX_RULES = 8192


def _recipes(sig: Signature, given: list[Any], wants: Sequence[bool]) -> tuple[Any, ...]:
    """A recipe, number or None for each cotangent that the rule of *sig* returns; () if it has none.

    Python's numbers may decide what a rule records; nodes, even those that stand for numbers, do not.
    """
    ct, y = placeholder(sig.aval), placeholder(sig.aval)
    xs = [placeholder(x.aval) if x.__class__ is Node else x for x in given]
    cts = sig.prim.vjp(ct, y, xs, sig.params, list(wants))  # type: ignore[misc]
    operands = [ct, y, *(x for x in xs if x.__class__ is Node)]
    found = tuple([c if is_number(c) else recipe_of(c, operands) for c in cts])
    complete = not any(c.__class__ is Node and f is None for c, f in zip(cts, found, strict=True))
    return found if complete else ()


def reached(tape: Tape, wrt: Iterable[Var], blocked: frozenset[Var] = frozenset()) -> set[Var]:
    """Return the variables that *wrt* influence differentiably, *wrt* included."""
    return _spread(tape.eqns, set(wrt), blocked)


def _spread(eqns: Sequence[Equation], active: set[Var], blocked: Collection[Var] = ()) -> set[Var]:
    """Add to *active* what is computed of it."""
    for eqn in eqns:
        if eqn.sig.differentiable:
            for a in eqn.inputs:
                if a.__class__ is Var and a in active:
                    active.update([x for x in eqn.outs if x.aval.inexact and x not in blocked])
                    break
    return active


def backpropagate(
    eqns: Sequence[Equation],
    env: Environment,
    active: set[Var],
    seeds: dict[Var, Any],
    stop: frozenset[Var] = frozenset(),
    hook: Hook | None = None,
    apply: Apply = call_rule,
    keep: Collection[Var] = (),
) -> dict[Var, Any]:
    """Run the rules in reverse over *eqns*, recording nodes; return every cotangent met.

    ``stop`` are variables that are not differentiated through. ``hook(var, ct)`` sees each
    complete cotangent before it is used and returns the one to use; ``apply`` calls the rules.
    The cotangents of ``keep`` are asked for.
    """
    cts = dict(seeds)
    watched = [] if hook is None else [v for v, n in env.items() if n.watch is not None]
    stop |= idle(eqns, active, [*seeds, *watched], stop)
    eqns, added = unrooted(eqns, {*keep, *stop}, env)
    between = {eqn.out for eqn in added}
    if added:
        env, active = recorded(added, env), _spread(added, set(active))
    eqns, env = settled(eqns, env)
    for eqn in reversed(eqns):
        outs, ct = eqn.outs, None
        if len(outs) > 1:
            ct = _several(outs, cts, active, stop, hook)
        elif outs[0] in active and (ct := cts.get(outs[0])) is not None:
            ct = _complete(outs[0], ct, cts, None if outs[0] in between else hook)
            if outs[0] in stop:
                ct = None
        if ct is None or eqn.sig.prim.vjp is None:
            continue
        xs = [read(env, a) for a in eqn.inputs]
        wants = [isinstance(a, Var) and a in active for a in eqn.inputs]
        if not any(wants):
            continue
        contributions = apply(eqn, ct, results_in(env, eqn), xs, wants)
        for atom, want, c in zip(eqn.inputs, wants, contributions, strict=True):
            if want and c is not None and isinstance(atom, Var):
                c = c if is_number(c) else materialize(c, atom.aval)
                before = cts.get(atom)
                if before is None or before is UNDEFINED:
                    cts[atom] = c
                elif c is UNDEFINED:
                    continue
                elif before.__class__ is Terms:
                    before.append(c)
                elif partial(c) or partial(before):
                    cts[atom] = Terms([before, c])
                else:
                    cts[atom] = plus(before, c)
    return {var: ct.total() if ct.__class__ is Terms else ct for var, ct in cts.items()}


def _complete(out: Var, ct: Any, cts: dict[Var, Any], hook: Hook | None) -> Any:
    """The whole cotangent of *out*."""
    if ct.__class__ is Terms:
        ct = cts[out] = ct.total()
    if hook is not None:
        ct = cts[out] = hook(out, ct)
    return ct


def _several(
    outs: tuple[Var, ...],
    cts: dict[Var, Any],
    active: set[Var],
    stop: frozenset[Var],
    hook: Hook | None,
) -> tuple[Any, ...] | None:
    """The cotangents of several results, None for one that is zero; None if all are."""
    found = [
        _complete(out, ct, cts, hook)
        if out in active and (ct := cts.get(out)) is not None
        else None
        for out in outs
    ]
    given = [None if out in stop else ct for out, ct in zip(outs, found, strict=True)]
    return None if all(ct is None for ct in given) else tuple(given)


def vjp(
    tape: Tape,
    wrt: Sequence[Var],
    *,
    seeded: Sequence[bool] | None = None,
    blocked: frozenset[Var] = frozenset(),
    stop: frozenset[Var] = frozenset(),
    bound: Sequence[Var] = (),
    results: Sequence[Any] = (),
) -> tuple[Tape, list[Node]]:
    """Return the tape of the cotangents of *wrt*, followed by the values of *results*.

    Parameters
    ----------
    tape : Tape
        The primal tape.
    wrt : sequence of Var
        Inputs or intermediate variables of *tape*.
    seeded : sequence of bool, optional
        Which outputs have a further input as their seed (all by default); the others have 1.
    blocked : frozenset of Var
        Results computed while gradients were off: nothing flows through them.
    stop : frozenset of Var
        Variables of *wrt* that are not differentiated through.
    bound : sequence of Var
        Intermediate variables whose values are given as further inputs.
    results : sequence of Var
        Primal values to return as well.

    Returns
    -------
    tape : Tape
        Inputs: those of *tape*, then *bound*, then the seeds, then the constants.
    constants : list of Node
        Leaves that rules created (index arrays and the like).
    """
    given = seeded or [True] * len(tape.outputs)
    active = reached(tape, wrt, blocked)
    stop |= idle(tape.eqns, active, tape.outputs, stop)
    kinks = has_kinks(tape.eqns)
    by = _by_nodes if kinks else _by_equations
    keep = {*wrt, *blocked, *stop}
    new, constants = by(tape, wrt, given, active, stop, bound, results, keep)
    held = set(bound)
    eqns = _without(tape.eqns, held) if held else tape.eqns
    inputs = (*tape.inputs, *bound, *new.inputs)
    whole = Tape(inputs, (*eqns, *new.eqns), new.outputs)
    if kinks:
        stand_ins = [placeholder(v.aval) for v in inputs[: len(inputs) - len(constants)]]
        whole, constants = _with_limits(whole, stand_ins, constants)
        whole.with_weak_inputs_of(tape)
    return checked(whole), constants


def _by_equations(
    tape: Tape,
    wrt: Sequence[Var],
    seeded: Sequence[bool],
    active: set[Var],
    stop: frozenset[Var],
    bound: Sequence[Var],
    results: Sequence[Any],
    keep: Collection[Var],
) -> tuple[Tape, list[Node]]:
    """The equations to add to *tape*, as a tape whose inputs are the seeds and the constants."""
    eqns, added = unrooted(tape.eqns, keep)
    reverse = Reverse()
    reverse.eqns += added
    seeds = []
    for out, is_given in zip(tape.outputs, seeded, strict=True):
        if isinstance(out, Var):
            if is_given:
                seeds.append(Var(out.aval))
            reverse.add(out, seeds[-1] if is_given else 1.0)
    reverse.run(eqns, _spread(added, active), stop)
    outs = (*[reverse.cotangent(v) for v in wrt], *results)
    inputs = (*seeds, *reverse.constants.values())
    # What was put together before it was added is not needed any more.
    written = living(reverse.eqns, outs) if reverse.partials or added else reverse.eqns
    return Tape(inputs, tuple(written), outs), list(reverse.constants)


def _by_nodes(
    tape: Tape,
    wrt: Sequence[Var],
    seeded: Sequence[bool],
    active: set[Var],
    stop: frozenset[Var],
    bound: Sequence[Var],
    results: Sequence[Any],
    keep: Collection[Var],
) -> tuple[Tape, list[Node]]:
    """The same by nodes, on which limits at kinks are worked out."""
    env, known = _stand_ins(tape, bound)
    seeds: dict[Var, Any] = {}
    seed_nodes = []
    for out, is_given in zip(tape.outputs, seeded, strict=True):
        if isinstance(out, Literal):
            continue
        seed: Any = 1.0
        if is_given:
            seed = placeholder(out.aval)
            seed_nodes.append(seed)
        seeds[out] = seed if out not in seeds else seeds[out] + seed
    cts = backpropagate(tape.eqns, env, active, seeds, stop, keep=keep)
    outs = [materialize(cts.get(v, 0.0), v.aval) for v in wrt]
    return linearize(outs + [env[v] for v in results], seed_nodes, known)


def _without(eqns: Sequence[Equation], held: set[Var]) -> list[Equation]:
    """*eqns* without those whose results are given; of several, others are in their place."""
    found = []
    for eqn in eqns:
        if held.isdisjoint(eqn.outs):
            found.append(eqn)
        elif not held.issuperset(eqn.outs):
            outs = tuple([Var(out.aval) if out in held else out for out in eqn.outs])
            found.append(Equation(eqn.sig, eqn.inputs, outs, eqn.line))
    return found


def _with_limits(tape: Tape, inputs: list[Node], constants: list[Node]) -> tuple[Tape, list[Node]]:
    """A second derivative, with the limits of what it divides by a distance that is 0."""
    env = walk(tape, [*inputs, *constants], replay)
    _, env = settled(tape.eqns, env, final=True)
    return linearize([read(env, a) for a in tape.outputs], inputs)


def _stand_ins(tape: Tape, bound: Sequence[Var]) -> tuple[Environment, dict[Node, Var]]:
    """A node for each variable of *tape*, which rules record on; and the variable of each.

    The equations are not recorded again, but for views: some rules look through those.
    """
    env: Environment = {v: placeholder(v.aval) for v in (*tape.inputs, *bound)}
    for eqn in tape.eqns:
        for out in eqn.outs:
            if out not in env:
                if eqn.sig.prim.lower.__class__ is View:
                    env[out] = replay(eqn, [read(env, a) for a in eqn.inputs])
                else:
                    env[out] = placeholder(out.aval)
    return env, {node: var for var, node in env.items()}
