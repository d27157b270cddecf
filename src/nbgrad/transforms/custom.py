"""An operation whose derivative a user wrote: the function is a body, and so are its rules.

Everything is traced when the function is called: what a rule reads from outside is an operand, and two
calls alike are one signature. What cannot be traced is an error that is raised where it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from nbgrad.core.aval import alike, several
from nbgrad.core.interpret import computed, inline
from nbgrad.core.modes import user_line_of
from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.results import SeveralResults
from nbgrad.core.tape import Body, Equation, Literal, Tape, Var
from nbgrad.errors import CLOSED_OVER, NO_TANGENT, AutogradError
from nbgrad.ops.kinds.batching import all_stacked, stacked
from nbgrad.ops.kinds.cotangents import is_number, materialize
from nbgrad.ops.kinds.forms import Call, Host, index_map
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.trace import trace
from nbgrad.transforms.vjp import reached, vjp
from nbgrad.transforms.vmap import vmap

# Where a rule that is linear is transposed: small, for the sake of those that clip, and not zero.
PROBE = 2.0**-20


class Failed:
    """A rule that could not be traced, and why: in the place of its body.

    A program that is kept keeps it: the error without its frames, which hold all that the rule met,
    and with a note of the user's line among them.
    """

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        if (line := user_line_of(error)) is not None:
            error.add_note(f"raised at {line}, where the rule was traced")
        if error.__cause__ is not None:
            error.add_note(f"caused by {type(error.__cause__).__name__}: {error.__cause__}")
        error.__traceback__ = error.__cause__ = error.__context__ = None
        self.error = error

    def __repr__(self) -> str:
        return f"<not traced: {self.error}>"

    def anew(self) -> Exception:
        """An error to be raised: who catches it holds frames that this one does not."""
        try:
            return copy(self.error)
        except Exception:  # of a class of the user's that cannot be made of its args
            return self.error.with_traceback(None)


RuleBody = Body | Failed | None


@dataclass(frozen=True, slots=True)
class Written:
    """The rules of one call, as tapes; all of them read, last, what the call reads from outside.

    Attributes
    ----------
    name : str
    given : int
        Operands that are arguments; what is read from outside follows.
    again : Body or None
        Of the arguments: the results, and then what ``back`` needs.
    back : Body, Failed or None
        Of that, and the cotangents of the results: the cotangents of the arguments.
    ahead : Body, Failed or None
        Of the arguments and their tangents: the tangents of the results.
    """

    name: str
    given: int
    again: Body | None = None
    back: RuleBody = None
    ahead: RuleBody = None


def _prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Any, Any]:
    outputs = params["body"].tape.outputs
    return xs, several(*[atom.aval for atom in outputs]), ()


def _evaluate(*xs: Any, body: Body, rule: Written) -> Any:
    found = computed(body.tape, xs)
    return found[0] if len(found) == 1 else tuple(found)


def _body_of(rule: Written, found: RuleBody) -> Tape:
    if isinstance(found, Failed):
        raise found.anew()
    if found is None:
        raise AutogradError(f"{rule.name} has no rule for its derivative")
    return found.tape


def _tuple(x: Any, body: Body) -> tuple[Any, ...]:
    """What a rule is given for the results: one, or a tuple of several."""
    return x if len(body.tape.outputs) > 1 else (x,)


def _vjp(cts: Any, ys: Any, xs: Sequence[Any], params: Any, wants: Sequence[bool]) -> list[Any]:
    body, rule = params["body"], params["rule"]
    avals = [y.aval for y in _tuple(ys, body)]
    given = [
        materialize(0.0 if ct is None else ct, aval)
        for ct, aval in zip(_tuple(cts, body), avals, strict=True)
    ]
    arguments, closed = xs[: rule.given], xs[rule.given :]
    if rule.back is None:
        found = _transposed_tangents(rule, arguments, closed, given)
    else:
        tape = _body_of(rule, rule.back)
        kept = inline(rule.again.tape, xs)[len(avals) :]
        found = inline(tape, [*kept, *given, *closed])
    pairs = zip(found, arguments, strict=True)
    outside = zip(closed, wants[rule.given :], strict=True)
    return [
        *[c if x.aval.inexact else None for c, x in pairs],
        *[
            _refused(_closed_over(rule, x), x) if wanted and x.aval.inexact else None
            for x, wanted in outside
        ],
    ]


def _jvp(tangents: Sequence[Any], ys: Any, xs: Sequence[Any], params: Any) -> Any:
    body, rule = params["body"], params["rule"]
    arguments, closed = xs[: rule.given], xs[rule.given :]
    given = [
        materialize(0.0 if t is None else t, x.aval)
        for t, x in zip(tangents, arguments, strict=False)
    ]
    if rule.ahead is None:
        found = _transposed_cotangents(rule, len(body.tape.outputs), xs, given)
    else:
        found = inline(_body_of(rule, rule.ahead), [*arguments, *given, *closed])
    results = _tuple(ys, body)
    for x, t in zip(closed, tangents[rule.given :], strict=True):
        if t is not None and not (is_number(t) and t == 0):
            found = [_refused(_closed_over(rule, x), y) for y in results]
    outs = [t if y.aval.inexact else None for t, y in zip(found, results, strict=True)]
    return outs[0] if len(outs) == 1 else tuple(outs)


def _closed_over(rule: Written, x: Any) -> str:
    return CLOSED_OVER.format(name=rule.name, aval=x.aval)


def _raise(*xs: Any, text: str, aval: Any) -> None:
    raise AutogradError(text)


refused = Primitive(
    name="refused",
    kind="opaque",
    evaluate=_raise,
    prepare=lambda xs, params: (xs, params["aval"], ()),
    rules=Rules(
        lambda ct, y, xs, params, wants: [_refused(params["text"], x) for x in xs],
        lambda tangents, y, xs, params: _refused(params["text"], y),
        lambda prim, xs, mapped, params, size: prim(
            *xs,
            text=params["text"],
            aval=alike(params["aval"], (size, *params["aval"].shape)),
        ),
    ),
    lower=Host(),
    grad_name="Refused",
    doc="A derivative that no rule gives: what needs its numbers raises.",
    registered=False,
)


def _refused(text: str, x: Any) -> Node:
    """A derivative by *x* that no rule gives. It is an error to need it, and none to have it."""
    found: Node = refused(x, text=text, aval=x.aval)
    return found


def _transposed_tangents(
    rule: Written, arguments: Sequence[Any], closed: Sequence[Any], cts: Sequence[Any]
) -> list[Any]:
    """Cotangents of the arguments, by transposing the tangents of the results."""
    tape = _body_of(rule, rule.ahead)
    count = len(arguments)
    probes = [materialize(PROBE, x.aval) for x in arguments]
    return transposed(
        rule.name, tape, range(count, 2 * count), [*arguments, *probes, *closed], cts
    )


def _transposed_cotangents(
    rule: Written, count: int, xs: Sequence[Any], tangents: Sequence[Any]
) -> list[Any]:
    """Tangents of the results, by transposing the cotangents of the arguments."""
    tape = _body_of(rule, rule.back)
    found = inline(rule.again.tape, xs)  # type: ignore[union-attr]
    results, kept = found[:count], found[count:]
    probes = [materialize(PROBE, y.aval) for y in results]
    places = range(len(kept), len(kept) + count)
    return transposed(rule.name, tape, places, [*kept, *probes, *xs[rule.given :]], tangents)


def transposed(
    name: str,
    tape: Tape,
    places: Collection[int],
    given: Sequence[Any],
    seeds: Sequence[Any],
) -> list[Any]:
    """The linear map of the inputs at *places* to the outputs of *tape*, transposed, of *seeds*."""
    inputs = [tape.inputs[k] for k in places]
    moving = reached(tape, inputs)
    pairs = zip(tape.outputs, seeds, strict=True)
    kept = [(out, seed) for out, seed in pairs if out in moving]
    if any(out not in moving and not _is_zero(tape, out) for out in tape.outputs):
        raise NotImplementedError(NO_TANGENT.format(name=name))
    smaller = Tape(tape.inputs, tape.eqns, tuple([out for out, _ in kept]))
    back, extra = vjp(smaller, inputs)
    return inline(simplify(back, final=False), [*given, *[seed for _, seed in kept], *extra])


def _is_zero(tape: Tape, atom: Any) -> bool:
    """Whether an output is an array of zeros, or no floating-point number."""
    if isinstance(atom, Literal):
        return atom.value == 0
    if not atom.aval.inexact or not atom.aval.size:
        return True
    made: dict[Var, Equation] = {out: eqn for eqn in tape.eqns for out in eqn.outs}
    while atom in made and len(made[atom].inputs) == 1:
        (x,) = made[atom].inputs
        if isinstance(x, Literal):
            return index_map(made[atom].prim) == "full" and x.value == 0
        atom = x
    return False


def _batch(prim: Any, xs: Any, mapped: Any, params: Any, size: int) -> Any:
    """The operation on stacks: function and rules on stacks, of which all operands are such."""
    rule = params["rule"]
    bodies = [params["body"], rule.again, rule.back, rule.ahead]
    made = [_stacking(body.tape, size) for body in bodies if isinstance(body, Body)]
    united, constants = together(made)
    now = iter(united)
    body, again, back, ahead = (next(now) if isinstance(b, Body) else b for b in bodies)
    found = prim(
        *all_stacked(xs, mapped, size),
        *constants,
        body=body,
        rule=replace(rule, again=again, back=back, ahead=ahead),
    )
    return found if len(found) > 1 else found[0]


def _stacking(tape: Tape, size: int) -> tuple[Tape, list[Node]]:
    """*tape* for stacks of everything, and the constants that it reads besides, at its end."""
    many, constants, flags = vmap(tape, size, (True,) * len(tape.inputs))
    if all(flags):
        return many, constants
    own = many.inputs[: len(tape.inputs)]

    def stacks(*nodes: Node) -> list[Node]:
        found = inline(many, [*nodes, *constants])
        return [x if flag else stacked(x, size) for x, flag in zip(found, flags, strict=True)]

    traced = trace(stacks, [var.aval for var in own])
    return traced.tape, traced.constants


def together(made: Sequence[tuple[Tape, list[Node]]]) -> tuple[list[Body], list[Node]]:
    """Bodies of tapes that take their constants last: all of them take all of the constants."""
    union = list(dict.fromkeys(node for _, constants in made for node in constants))
    bodies = []
    for tape, constants in made:
        own = len(tape.inputs) - len(constants)
        var_of = dict(zip(constants, tape.inputs[own:], strict=True))
        last = [var_of[node] if node in var_of else Var(node.aval) for node in union]
        bodies.append(Body(Tape((*tape.inputs[:own], *last), tape.eqns, tape.outputs)))
    return bodies, union


custom = SeveralResults(
    name="custom",
    kind="opaque",
    evaluate=_evaluate,
    prepare=_prepare,
    rules=Rules(_vjp, _jvp, _batch),
    lower=Call(),
    grad_name="Custom",
    doc="A function whose derivative a user wrote.",
    registered=False,
)
