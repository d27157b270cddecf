"""Reverse mode, written as equations straight away.

What a rule records is the same for every equation of a signature: it is traced once, and written for
the others with their variables in place. So differentiating an operation of a long loop takes two or
three microseconds. A rule whose result may depend on more (on Python's numbers) is run each time, on
nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import Any

from nbgrad.config import settings
from nbgrad.core.aval import Several, avals_of
from nbgrad.core.interpret import replay
from nbgrad.core.modes import lines
from nbgrad.core.node import Node, placeholder
from nbgrad.core.results import part
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Atom, Equation, Literal, Var
from nbgrad.ops.identities.terms import MERGES, Terms
from nbgrad.ops.kinds.cotangents import addition, is_number, materialize, plus
from nbgrad.ops.kinds.forms import View

MAX_TEMPLATES = 8192
MAX_BYTES = 1 << 14  # of a template's constants

Wants = tuple[
    bool | Literal, ...
]  # whether an operand wants a cotangent, or the number that it is
Key = tuple[Signature, Wants]


class Template:
    """What a rule writes; it reads by places among cotangent, result, operands, constants, steps.

    Attributes
    ----------
    steps : tuple of (Signature, Aval, callable or None, int)
        A callable takes what the equation reads from the list of all values; without one it reads
        the value at the place that follows.
    results : tuple of (int, int)
        Operands, by number, and the places of their cotangents.
    constants : tuple of Node or Literal
    plain : bool
        Whether no constant is a node, and no step one that rules look for.
    """

    __slots__ = ("constants", "plain", "results", "steps")

    def __init__(self, operands: Sequence[Any], found: Sequence[Node | None]) -> None:
        nodes, constants = _recorded([c for c in found if c is not None], operands)
        place = {_name(x): k for k, x in enumerate((*operands, *constants, *nodes))}
        steps = []
        for node in nodes:
            reads = [place[_name(x)] for x in node.inputs]
            get = itemgetter(*reads) if len(reads) > 1 else None
            steps.append((node.sig, node.aval, get, reads[0]))
        self.steps = tuple(steps)
        self.results = tuple((k, place[c]) for k, c in enumerate(found) if c is not None)
        self.constants = tuple(x if x.__class__ is Node else Literal(x) for x in constants)
        self.plain = not any(x.__class__ is Node for x in constants) and not any(
            sig.prim.lower.__class__ is View or sig.prim in MERGES for sig, *_ in steps
        )


# By nan_policy, which rules ask for. None: what the rule writes is not the same for all equations;
# False: there was one, with a number of Python's in it, which may never come again.
_templates: dict[Any, dict[Key, Template | bool | None]] = {}


def _name(x: Any) -> Any:
    return x if x.__class__ is Node else (x.__class__, repr(x))


def _recorded(results: Iterable[Any], known: Collection[Any]) -> tuple[list[Node], list[Any]]:
    """The nodes that *results* need beside those *known*, in order, and what else these read."""
    nodes: dict[Node, None] = {}
    constants: dict[Any, Any] = {}
    stack = list(results)
    while stack:
        x = stack.pop()
        if x.__class__ is not Node or x.sig is None or x.value is not None:
            if x.__class__ is not Node or x not in known:
                constants[_name(x)] = x
        elif x not in known and x not in nodes:
            nodes[x] = None
            stack += x.inputs
    return sorted(nodes, key=lambda node: node.seq), list(constants.values())


def _learned(
    templates: dict[Key, Template | bool | None], eqn: Equation, wants: Wants
) -> Template | None:
    """The template of a rule that has none yet, remembered; None if there cannot be one."""
    key = eqn.sig, wants
    known = templates.get(key, True)
    if lines.on or known is None:
        return None  # each operation has its line
    if len(templates) >= MAX_TEMPLATES:
        templates.clear()
    if known is True and any(a.__class__ is Literal for a in eqn.inputs):
        templates[key] = False
        return None
    found = templates[key] = _template(eqn.sig, eqn.inputs, wants)
    return found


def _template(sig: Signature, inputs: Sequence[Atom], wants: Wants) -> Template | None:
    prim = sig.prim
    if not prim.registered or prim.vjp is None:
        return None
    ct, y = placeholder(sig.aval), placeholder(sig.aval)
    xs: list[Any] = [a.value if isinstance(a, Literal) else placeholder(a.aval) for a in inputs]
    found: list[Node | None] = [None] * len(xs)
    if True in wants:
        cts = prim.vjp(ct, y, xs, sig.params, [w is True for w in wants])
        for k, (x, c) in enumerate(zip(xs, cts, strict=True)):
            if wants[k] is True and c is not None:
                if is_number(c):
                    return None
                found[k] = materialize(c, x.aval)
    template = Template([ct, y, *xs], found)
    size = sum(c.aval.nbytes for c in template.constants if c.__class__ is Node)
    several = any(isinstance(aval, Several) for _, aval, *_ in template.steps)
    return template if size <= MAX_BYTES and not several else None


class Reverse:
    """The cotangents of a tape's variables, as further equations.

    Attributes
    ----------
    eqns : list of Equation
        What has been written.
    cts : dict
        For each variable a Var, a number, or Terms.
    constants : dict of Node to Var
        Arrays that rules made.
    made : dict of Var to Equation
        What is put together before it is added, and views of such: see terms.py.
    partials : set of Var
        What is zero but for a part.
    """

    def __init__(self) -> None:
        self.eqns: list[Equation] = []
        self.cts: dict[Var, Any] = {}
        self.constants: dict[Node, Var] = {}
        self.made: dict[Var, Equation] = {}
        self.partials: set[Any] = set()
        self._nodes: dict[Var, Node] = {}
        self._vars: dict[Node, Var] = {}

    def run(self, eqns: Sequence[Equation], active: set[Var], stop: Collection[Var]) -> None:
        """Go through the equations in reverse."""
        cts, partials, write = self.cts, self.partials, self.eqns.append
        templates = _templates.setdefault(settings.current.nan_policy, {})
        for eqn in reversed(eqns):
            out = eqn.outs[0]
            if len(eqn.outs) > 1:
                self._several(eqn, active, stop)
                continue
            if (ct := cts.get(out)) is None or out not in active or out in stop:
                continue
            if ct.__class__ is Terms:
                ct = cts[out] = self.written(ct.total())
            sig, inputs = eqn.sig, eqn.inputs
            wants: Any = tuple([a in active if a.__class__ is Var else a for a in inputs])
            template: Any = templates.get((sig, wants)) or _learned(templates, eqn, wants)
            if template is None or ct.__class__ is not Var or ct.aval is not sig.aval:
                self._by_nodes(eqn, wants)
                continue
            values = [ct, out, *inputs, *template.constants]
            if not template.plain:
                self._write_seen(template, values)
            else:
                for one, aval, get, k in template.steps:
                    var = Var(aval)
                    write(Equation(one, get(values) if get else (values[k],), (var,)))
                    values.append(var)
            for k, where in template.results:
                a, c = inputs[k], values[where]
                before = cts.get(a)
                if before is None:
                    cts[a] = c
                elif before.__class__ is not Var or partials:
                    self.add(a, c)
                else:
                    cts[a] = self._sum(before, c)

    def _write_seen(self, template: Template, values: list[Any]) -> None:
        """Write the steps of a template, remembering those that rules look for."""
        for k, x in enumerate(values):
            if x.__class__ is Node:
                values[k] = self._constant(x)
        for sig, aval, get, k in template.steps:
            var = Var(aval)
            eqn = Equation(sig, get(values) if get else (values[k],), (var,))
            if sig.prim.lower.__class__ is View or sig.prim in MERGES:
                self.made[var] = eqn
                if sig.prim in MERGES:
                    self.partials.add(var)
            self.eqns.append(eqn)
            values.append(var)

    def _by_nodes(self, eqn: Equation, wants: Wants) -> None:
        """Run the rule of *eqn* itself."""
        if eqn.sig.prim.vjp is not None and True in wants:
            self._rule(eqn, self.node(self.cts[eqn.out]), self.node(eqn.out), wants)

    def _several(self, eqn: Equation, active: set[Var], stop: Collection[Var]) -> None:
        """The same of an operation with several results."""
        wants: Any = tuple([a in active if a.__class__ is Var else a for a in eqn.inputs])
        met = [out in active and out not in stop and out in self.cts for out in eqn.outs]
        if any(met) and eqn.sig.prim.vjp is not None and True in wants:
            pairs = zip(eqn.outs, met, strict=True)
            cts = tuple(
                [self.node(self.cotangent(out)) if is_met else None for out, is_met in pairs]
            )
            self._rule(eqn, cts, tuple([self.node(out) for out in eqn.outs]), wants)

    def _rule(self, eqn: Equation, ct: Any, y: Any, wants: Wants) -> None:
        """Call the rule, and write what it records."""
        xs = [self.node(a) for a in eqn.inputs]
        asked = [w is True for w in wants]
        found = eqn.sig.prim.vjp(ct, y, xs, eqn.sig.params, asked)  # type: ignore[misc]
        for a, want, c in zip(eqn.inputs, asked, found, strict=True):
            if want and c is not None:
                c = c if is_number(c) else materialize(c, a.aval)  # type: ignore[union-attr]
                self.add(a, self.written(c))

    def add(self, a: Any, c: Any) -> None:
        """Add *c* to the cotangent of *a*."""
        before = self.cts.get(a)
        if before is None:
            self.cts[a] = c
        elif before.__class__ is Terms:
            before.append(self.node(c))
        elif before in self.partials or c in self.partials:
            self.cts[a] = Terms([self.node(before), self.node(c)])
        else:
            self.cts[a] = self._sum(before, c)

    def _sum(self, a: Any, b: Any) -> Any:
        """The variable of the sum of two cotangents."""
        if a.__class__ is Var and b.__class__ is Var:
            sig = addition(a.aval, b.aval)
            if sig is not None:
                var = Var(sig.aval)
                self.eqns.append(Equation(sig, (a, b), (var,)))
                return var
        return self.written(plus(self.node(a), self.node(b)))

    def cotangent(self, var: Var) -> Var:
        """The whole cotangent of *var*, an array of its aval."""
        ct = self.cts.get(var, 0.0)
        if ct.__class__ is Terms:
            ct = self.cts[var] = self.written(ct.total())
        if ct.__class__ is Var and ct.aval is var.aval:
            return ct
        return self.written(materialize(self.node(ct), var.aval))  # type: ignore[no-any-return]

    def node(self, x: Any) -> Any:
        """What rules take for a variable: a node, made as the variable is if that is a view."""
        if x.__class__ is not Var:
            return x.value if x.__class__ is Literal else x
        views: list[Equation] = []
        at: Any = x
        while at not in self._nodes and at in self.made:
            views.append(self.made[at])
            at = views[-1].inputs[0]
            if at.__class__ is not Var:
                break
        if at.__class__ is Var and at not in self._nodes:
            self._keep(at, placeholder(at.aval))
        for eqn in reversed(views):
            self._keep(eqn.out, replay(eqn, [self.node(a) for a in eqn.inputs]))
        return self._nodes[x]

    def written(self, x: Any) -> Any:
        """The variable of a node, whose operations are written; numbers stay numbers."""
        if x.__class__ is not Node:
            return x
        nodes, _ = _recorded([x], self._vars)
        several: dict[Node, tuple[Var, ...]] = {}
        for node in nodes:
            if node.sig.prim is part:
                self._keep(several[node.inputs[0]][node.sig.params["number"]], node)
                continue
            atoms = [self._atom(a) for a in node.inputs]
            outs = tuple([Var(aval) for aval in avals_of(node.aval)])
            self.eqns.append(Equation(node.sig, tuple(atoms), outs, node.line))
            if len(outs) > 1:
                several[node] = outs
                continue
            (var,) = outs
            self._keep(var, node)
            if node.sig.prim in MERGES:
                self.partials.add(var)
        return self._atom(x)

    def _atom(self, x: Any) -> Atom:
        if x.__class__ is not Node:
            return Literal(x)
        return self._vars[x] if x in self._vars else self._constant(x)

    def _constant(self, node: Node) -> Var:
        if node not in self.constants:
            self.constants[node] = Var(node.aval)
            self._keep(self.constants[node], node)
        return self.constants[node]

    def _keep(self, var: Var, node: Node) -> None:
        self._nodes[var], self._vars[node] = node, var
