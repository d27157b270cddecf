"""Anomaly detection: the first non-finite value, the operation and the user's line behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from nbgrad.core.aval import is_several
from nbgrad.core.interpret import read
from nbgrad.core.memory import host
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.core.results import part
from nbgrad.core.tape import Equation
from nbgrad.core.values import value_of
from nbgrad.errors import NON_FINITE, AnomalyError
from nbgrad.ops.kinds.cotangents import is_number

KINK = (
    " It is a second derivative at the kink of {name}: the first derivative{line} jumps where the "
    "length is 0."
)


def first_non_finite(array: np.ndarray[Any, Any]) -> tuple[int, ...] | None:
    """Index of the first NaN or infinity of *array*, or None."""
    if array.dtype.kind not in "fc":
        return None
    bad = ~np.isfinite(array)
    if not bad.any():
        return None
    return tuple(int(k) for k in np.unravel_index(int(np.argmax(bad)), array.shape))


def _operands(xs: Sequence[Any], index: tuple[int, ...]) -> str:
    """The operands' values at *index*, for the message."""
    shown = []
    for x in xs:
        if x.__class__ is Node:
            value = value_of(x)
            shown.append(str(value[index]) if value.ndim == len(index) else f"<{x.aval!r}>")
        else:
            shown.append(repr(x))
    return ", ".join(shown)


def check_value(node: Node, start: int = 0, end: int = 0) -> None:
    """Raise if the value of *node* is not finite: the engine's observer of each operation."""
    if node.value.__class__ is tuple:  # of an operation with several results
        for value in node.value:
            _check(node, value)
    else:
        _check(node, node.value)


def _check(node: Node, value: Any) -> None:
    value = host(value)
    index = first_non_finite(value)
    if index is None:
        return
    name = node.sig.prim.name if node.sig is not None else "leaf"
    raise AnomalyError(
        f"Forward of '{name}' produced {value[index]} at index {index} of its result of "
        f"shape {value.shape}; operands there: {_operands(node.inputs, index)}. Recorded at "
        f"{node.line or 'an unknown line'}."
    )


def check_forward(nodes: Sequence[Node]) -> None:
    """Raise at the first of *nodes* whose value is not finite."""
    for node in nodes:
        if not is_several(node.aval):  # whose parts are among the nodes
            value_of(node)
            made = node.inputs[0] if node.sig.prim is part and node.inputs else node
            _check(made, node.value)


def observer(env: dict[Any, Any]) -> Callable[[Equation, Sequence[Any]], None]:
    """Return a check for the cotangents that each backward rule returns."""

    def observe(eqn: Equation, cts: Sequence[Any]) -> None:
        for k, ct in enumerate(cts):
            if ct is None or is_number(ct):
                continue
            kink = _kink(ct)  # its history goes when it is computed
            value = value_of(ct)
            index = first_non_finite(value)
            if index is not None:
                xs = [read(env, a) for a in eqn.inputs]
                kind = "nan" if np.isnan(value[index]) else "infinite"
                raise AnomalyError(
                    f"Function '{eqn.prim.backward_name}' returned {kind} values in its "
                    f"{k}th output, at index {index}; operands there: {_operands(xs, index)}. The "
                    f"forward operation '{eqn.prim.name}' was "
                    f"recorded at {eqn.line or 'an unknown line'}.{kink}"
                )

    return observe


def _kink(ct: Node) -> str:
    """What to add if *ct* was computed from a first derivative that jumps where it was taken."""
    ahead, seen = [ct], {ct}
    while ahead and len(seen) < 200:
        node = ahead.pop(0)
        kink = None if node.sig is None else node.sig.prim.kink
        # A first derivative that is infinite, as that of sqrt, is no jump of another one.
        if kink and kink.shown and not (node is ct and kink.infinite):
            line = node.line
            return KINK.format(name=kink.shown, line=f", recorded at {line}," if line else "")
        fresh = [x for x in node.inputs if x.__class__ is Node and x not in seen]
        seen.update(fresh)
        ahead += fresh
    return ""


@contextmanager
def without_checks() -> Iterator[None]:
    """Leave out :func:`check_value`: in a backward pass the rules' results are checked instead."""
    before = modes.observers
    modes.observers = tuple(o for o in before if o is not check_value)
    try:
        yield
    finally:
        modes.observers = before


def refuse_non_finite(gradients: Sequence[Node]) -> None:
    """Raise if the value of a gradient is known and not finite (``nan_policy='raise'``)."""
    for node in gradients:
        value = host(node.value)
        index = None if value is None else first_non_finite(value)
        if index is not None:
            text = NON_FINITE.format(shape=node.shape, value=value[index], index=index)
            raise AnomalyError(text)
