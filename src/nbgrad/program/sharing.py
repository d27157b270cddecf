"""Outputs that are another shape of a stored value: one buffer serves both."""

from __future__ import annotations

from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.ops.kinds.forms import View
from nbgrad.program import index
from nbgrad.program.nest import Load
from nbgrad.program.values import Body, MustMaterialize, TooLong


def shared_outputs(
    tape: Tape, producers: dict[Var, Equation], free: set[Var], stored: set[Var]
) -> dict[Var, Var]:
    """Map values that are stored anyway to the outputs whose memory they can be written to.

    Such an output is a view of the value with all its elements in the same order. An output in
    *stored* is needed in memory by itself.
    """
    found: dict[Var, Var] = {}
    outputs = {a for a in tape.outputs if isinstance(a, Var)}
    for out in dict.fromkeys(a for a in tape.outputs if isinstance(a, Var)):
        base = _base(out, producers, free) if out in free and out not in stored else out
        new = base in producers and base not in outputs and base not in found
        if new and _same_order(out, base, producers):
            found[base] = out
    return found


def _base(var: Var, producers: dict[Var, Equation], free: set[Var]) -> Var:
    """The value that *var* is a view of, through any number of views."""
    while var in free and isinstance(producers[var].prim.lower, View):
        x = producers[var].inputs[0]
        if not isinstance(x, Var):
            break
        var = x
    return var


def _same_order(out: Var, base: Var, producers: dict[Var, Equation]) -> bool:
    """Whether *out* has the elements of *base* in order; a reshape never changes the order."""
    var = out
    while var is not base:
        first = var
        while var is not base and producers[var].prim.lower.name != "reshape":
            (var,) = producers[var].inputs  # type: ignore[assignment]
        if var is not first and not _is_identity(first, var, producers):
            return False
        if var is not base:
            (var,) = producers[var].inputs  # type: ignore[assignment]
    return True


def _is_identity(out: Var, base: Var, producers: dict[Var, Equation]) -> bool:
    shape = out.aval.shape
    if base.aval.size != out.aval.size or base.aval.dtype != out.aval.dtype:
        return False
    body = Body(len(shape), producers, {base}, shape)
    try:
        number = body.pull(out, index.identity(len(shape)), (), out.aval.dtype)
    except (MustMaterialize, TooLong):
        return False
    load = body.values[number]
    if not isinstance(load, Load) or load.buffer is not base or load.guards or load.offset:
        return False
    steps = zip(shape, load.strides, index.strides_of(shape), strict=True)
    return all(n == 1 or have == wanted for n, have, wanted in steps)
