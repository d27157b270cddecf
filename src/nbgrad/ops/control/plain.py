"""A loop of sums and products of float64 scalars as a plain Python function of floats.

Those are what NumPy computes, to the bit, and take a twentieth of the time of its scalars. So a loop
that is recorded, and whose kernel is still being compiled, goes on at the speed of recording.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np

from nbgrad.core.aval import make_aval
from nbgrad.core.lazy import pattern
from nbgrad.core.tape import Body, Literal, Tape, names_of
from nbgrad.ops.kinds.forms import Expression, Rounds

Run = Callable[..., tuple[Any, ...]]

FEW: Final = 1000  # operations that NumPy does in less time than it takes to write the function
NUMBER: Final = make_aval((), np.dtype(np.float64))
# Where Python raises, as in division by zero, or rounds otherwise, as in powers, it is left to NumPy.
EXACT: Final = pattern(r"({[xyz]}|[-+* ])*")


def plain(body: Body, rounds: Rounds) -> Run | None:
    """What gives the last carry and the stacks of a loop, if Python's floats can be what it computes with."""
    if rounds.count * len(body.tape) < FEW or rounds.reverse:
        return None
    found: Run | None = _written(body, rounds.constants, rounds.carry)
    return found


@lru_cache(maxsize=64)
def _written(body: Body, constants: int, carry: int) -> Run | None:
    tape = body.tape
    atoms = [*tape.inputs, *[out for eqn in tape.eqns for out in eqn.outs], *tape.outputs]
    if any(not isinstance(a, Literal) and a.aval is not NUMBER for a in atoms):
        return None
    given: dict[str, Any] = {}
    text = _text(tape, constants, constants + carry, given)
    if text is None:
        return None
    exec(compile(text, "<nbgrad loop>", "exec"), given)
    run: Callable[..., Any] = given["run"]

    def found(count: int, *xs: Any) -> tuple[Any, ...]:
        made = run(range(count), *[x.tolist() for x in xs])
        return tuple([np.array(y, NUMBER.dtype) for y in made])

    return found


def _text(tape: Tape, first: int, rows: int, given: dict[str, Any]) -> str | None:
    """The function; None if an equation is not exact. Numbers in the tape are put into *given*."""
    names: dict[Any, str] = {v: f"v_{name}" for v, name in names_of(tape).items()}
    read = [names[v] for v in tape.inputs]

    def name(a: Any) -> str:
        if not isinstance(a, Literal):
            return names[a]
        given[f"n{len(given)}"] = float(a.value)
        return f"n{len(given) - 1}"

    lines = []
    for eqn in tape.eqns:
        form = eqn.prim.lower
        text = form.text if isinstance(form, Expression) else None
        if text.__class__ is not str or eqn.params or not EXACT.fullmatch(text):
            return None
        operands = dict(zip("xyz", map(name, eqn.inputs), strict=False))
        lines.append(f"        {names[eqn.out]} = {text.format(**operands)}")
    outs, stacks = [name(a) for a in tape.outputs], read[rows:]
    carry, written = outs[: rows - first], outs[rows - first :]
    kept = [f"y{k}" for k in range(len(written))]
    head = [f"    {y} = []" for y in kept]
    each = ", ".join(["_", *stacks])
    head.append(f"    for {each} in zip(order, {', '.join(f's_{s}' for s in stacks)}):")
    lines += [f"        {y}.append({x})" for y, x in zip(kept, written, strict=True)]
    if carry:
        lines.append(f"        {', '.join(read[first:rows])}, = {', '.join(carry)},")
    params = ", ".join(["order", *read[:rows], *[f"s_{s}" for s in stacks]])
    found = ", ".join([*read[first:rows], *kept])
    return "\n".join(
        [f"def run({params}):", *head, *(lines or ["        pass"]), f"    return {found},"]
    )
