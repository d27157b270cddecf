"""Simplification, which keeps the meaning of a tape: constants, equal equations, dead code.

One walk does all of it, and an equation that nothing changed is the same object afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.core.check import checked
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.primitive import bind
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Atom, Equation, Literal, Tape, Var, living
from nbgrad.ops.basis import full
from nbgrad.ops.kinds.forms import View, index_map
from nbgrad.transforms.together import together
from nbgrad.transforms.turned import turned


class _Walk:
    """A tape on its way to a simpler one.

    ``now`` has what stands for the variables that were replaced, ``filled`` the number in each
    filled array, ``known`` the equation of each signature and operands. ``touched`` are the
    variables of the first two, and ``special`` the signatures that ``share`` alone will not do for.
    What is ``final`` will not be differentiated: it needs nothing that only stops a derivative.
    """

    def __init__(self, final: bool) -> None:
        self.final = final
        self.eqns: list[Equation] = []
        self.now: dict[Var, Atom] = {}
        self.filled: dict[Var, Atom] = {}
        self.known: dict[Any, Equation] = {}
        self.touched: set[Any] = set()
        self.special: dict[Signature, bool] = {}

    def atom(self, a: Atom) -> Atom:
        """What *a* is now."""
        return self.now.get(a, a) if a.__class__ is Var else a

    def run(self, eqns: Sequence[Equation]) -> None:
        """Take all equations; most are new, and read nothing that was replaced."""
        known, special, untouched = self.known.setdefault, self.special, self.touched.isdisjoint
        for eqn in eqns:
            sig, xs = eqn.sig, eqn.inputs
            if sig not in special:
                special[sig] = self.dropped(sig) or _fills(sig)
            if special[sig] or not untouched(xs):
                self.take(eqn)
            elif known((sig, xs), eqn) is eqn:
                self.eqns.append(eqn)
            else:
                self.replace(eqn.outs, known((sig, xs), eqn).outs)

    def dropped(self, sig: Signature) -> bool:
        """Whether an operation is its operand, where their avals agree, in its derivative too."""
        prim = sig.prim
        return prim.alias and (self.final or (prim.vjp is not None and len(sig.operands) == 1))

    def replace(self, outs: Sequence[Var], atoms: Sequence[Atom]) -> None:
        """Let *atoms* stand for *outs*."""
        self.now.update(zip(outs, atoms, strict=True))
        self.touched.update(outs)

    def take(self, eqn: Equation) -> None:
        """Add *eqn*, or what stands for it."""
        xs, now = eqn.inputs, self.now
        if not now.keys().isdisjoint(xs):
            xs = tuple([self.atom(a) for a in xs])
            eqn = Equation(eqn.sig, xs, eqn.outs, eqn.line)
        if self.dropped(eqn.sig) and xs[0].__class__ is Var and xs[0].aval is eqn.out.aval:
            self.replace(eqn.outs, (xs[0],))
            return
        filled: dict[Any, Atom] = self.filled
        if not filled.keys().isdisjoint(xs):
            found = _folded(eqn, [filled.get(x, x) for x in xs])
            if found is not None:
                for one in found:
                    self.share(one)
                return
        self.share(eqn)

    def share(self, eqn: Equation) -> None:
        """Add *eqn*, unless an equal one is there already."""
        earlier = self.known.setdefault((eqn.sig, eqn.inputs), eqn)
        if earlier is not eqn:
            self.replace(eqn.outs, earlier.outs)
            return
        self.eqns.append(eqn)
        if _fills(eqn.sig):
            self.filled[eqn.out] = eqn.inputs[0]
            self.touched.add(eqn.out)


def _fills(sig: Signature) -> bool:
    return index_map(sig.prim) == "full"


def _folded(eqn: Equation, numbers: list[Atom]) -> list[Equation] | None:
    """*eqn* with the numbers that fill its operands in their place, or None where that is no gain.

    A view of a filled array is filled too; an elementwise operation reads the number itself.
    """
    prim, aval = eqn.sig.prim, eqn.out.aval
    stand_in = {a: placeholder(a.aval) for a in numbers if isinstance(a, Var)}
    xs = [a.value if isinstance(a, Literal) else stand_in[a] for a in numbers]
    if isinstance(prim.lower, View) and prim.lower.keeps_elements:
        node = full(xs[0], shape=aval.shape, dtype=aval.dtype)
    elif prim.kind == "elementwise" and any(
        x.__class__ is Node and x.shape == aval.shape for x in xs
    ):
        node = bind(prim, *xs, **eqn.params)
    else:
        return None
    if node.__class__ is not Node or node.aval is not aval or node.sig is None:
        return None
    given = list(stand_in)
    tape, constants = linearize([node], list(stand_in.values()))
    if constants:
        return None
    now: dict[Any, Any] = dict(zip(tape.inputs, given, strict=True)) | {tape.outputs[0]: eqn.out}
    return [
        Equation(
            e.sig,
            tuple([now.get(a, a) for a in e.inputs]),
            tuple([now.get(a, a) for a in e.outs]),
            eqn.line,
        )
        for e in tape.eqns
    ]


def simplify(tape: Tape, final: bool = True) -> Tape:
    """Fold numbers, compute equal equations once, drop what nothing reads.

    Of a tape that is not *final*, but to be differentiated, what stops a derivative is kept.
    """
    walk = _Walk(final)
    walk.run(tape.eqns)
    outputs = tuple([walk.atom(a) for a in tape.outputs])
    eqns = living(walk.eqns, outputs)
    if final:
        new = turned(eqns, outputs)
        eqns = eqns if new is eqns else living(new, outputs)
        eqns = list(together(eqns))
    return checked(Tape(tape.inputs, tuple(eqns), outputs))
