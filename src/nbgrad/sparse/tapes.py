"""From a function to the tape of its tangents, which is linear in these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from nbgrad.api.arguments import leaves_of, settled
from nbgrad.api.tracing import recorded
from nbgrad.core.frozen import Frozen
from nbgrad.core.modes import modes
from nbgrad.core.tape import Literal, Tape, Var
from nbgrad.core.tree import flatten, unflatten
from nbgrad.core.values import value_of
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.calls import expanded
from nbgrad.transforms.jvp import jvp
from nbgrad.transforms.linear import depending
from nbgrad.transforms.simplify import simplify

Array = np.ndarray[Any, Any]


class Recorded(Frozen):
    """A function, as its tape at some argument.

    Attributes
    ----------
    tape : Tape
        Its inputs are the leaves of x, of further arguments, then the constants.
    leaves : int
        Those of x.
    given : int
        Those of all arguments.
    constants : tuple of ndarray
    closed : frozenset of Var
        What no derivative passes through.
    structure, made : object
        How the arguments are nested, and the results.
    """

    tape: Tape
    leaves: int
    given: int
    constants: tuple[Any, ...]
    closed: frozenset[Var]
    structure: Any
    made: Any

    @property
    def wrt(self) -> tuple[Var, ...]:
        return self.tape.inputs[: self.leaves]


def numbers_in(x: Any, name: str) -> tuple[list[Array], Any]:
    """The leaves of x as floating-point arrays, and how they are nested.

    Raises
    ------
    TypeError
        For what is not a number.
    """
    leaves, structure = flatten(x)
    found = []
    for leaf in leaves:
        a = np.asarray(value_of(leaf._node) if isinstance(leaf, Tensor) else leaf)
        if a.dtype.kind not in "biufc":
            raise TypeError(f"{name}: x0 holds {a.dtype}, which is no array of numbers")
        found.append(a.astype(np.float64) if a.dtype.kind in "biu" else a)
    if not found:
        raise TypeError(f"{name}: x0 holds no array to differentiate by")
    return found, structure


def given_of(x: Any, args: Sequence[Any], name: str) -> tuple[list[Any], Any]:
    """The arrays among the arguments, those of x first, and the structure that holds the rest."""
    numbers, nested = numbers_in(x, name)
    return settled(*leaves_of(given_of, (unflatten(nested, numbers), *args), {}))


def record(
    f: Callable[..., Any], x: Any, args: Sequence[Any], kwargs: Mapping[str, Any], name: str
) -> tuple[Recorded, list[Any]]:
    """Record ``f(x, *args, **kwargs)``, to be differentiated by x; and the arrays it was given."""
    numbers, _ = numbers_in(x, name)
    if any(a.dtype.kind == "c" for a in numbers):
        raise TypeError(
            f"{name}: x0 is complex. Give real arrays, its real and imaginary parts, and put them "
            "together in the function"
        )
    given, structure = given_of(x, args, name)
    called = partial(f, **kwargs) if kwargs else f
    before, modes.grad = modes.grad, True  # it is differentiated, whoever asks for that
    try:
        traced = recorded(called, given, structure, differentiable=True)
    finally:
        modes.grad = before
    if traced.watched:
        raise TypeError(
            f"{name}: the function calls a hook, a Function or checkpoint, whose backward is no "
            "tape. Write its derivative by custom_jvp or custom_vjp, or leave checkpoint out"
        )
    k = len(numbers)
    wrt = traced.tape.inputs[:k]
    nodes = [n for n, v in traced.var_of.items() if v in wrt]
    active = traced.active(nodes)
    outs = [out for eqn in traced.tape.eqns for out in eqn.outs]
    of = Recorded(
        traced.tape,
        k,
        len(given),
        tuple([np.array(value_of(node)) for node in traced.constants]),
        frozenset([out for out in outs if out not in active]),
        structure,
        traced.made,
    )
    return of, [value_of(a._node) if isinstance(a, Tensor) else a for a in given]


class Linear(Frozen):
    """The tape of tangents.

    Attributes
    ----------
    tape : Tape
        Of the tangents of the results, from the tangents of x, then from *held*.
    whole : Tape
        Of the same outputs, from what the function's tape reads, the tangents, and *constants*.
    held : list of Var
        Variables of *whole*.
    constants : list of ndarray
    outputs : tuple
        The results, whose tangents these are.
    """

    tape: Tape
    whole: Tape
    held: list[Var]
    constants: list[Any]
    outputs: tuple[Any, ...]


def tangents(of: Recorded) -> Linear:
    """The tape of the tangents of *of* along those of x."""
    both, constants = jvp(of.tape, of.wrt, closed=of.closed)
    n = len(of.tape.outputs)
    whole = simplify(expanded(Tape(both.inputs, both.eqns, both.outputs[n:])))
    k = len(of.tape.inputs)
    directions = whole.inputs[k : k + of.leaves]
    tape, held = depending(whole, directions)
    values = [node.value if node.value is not None else value_of(node) for node in constants]
    return Linear(tape, whole, held, values, of.tape.outputs)


def sizes_of(atoms: Sequence[Any]) -> list[int]:
    """The elements of each of these results."""
    return [1 if isinstance(a, Literal) else a.aval.size for a in atoms]
