"""Anomaly detection: the first non-finite value, the operation and the user's line behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.interpret import read
from nbgrad.core.node import Node
from nbgrad.core.tape import Equation
from nbgrad.engine import value_of
from nbgrad.errors import AnomalyError
from nbgrad.ops.kinds import is_number


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


def check_forward(nodes: Sequence[Node]) -> None:
    """Raise at the first of *nodes* whose value is not finite."""
    for node in nodes:
        value = value_of(node)
        index = first_non_finite(value)
        if index is not None:
            raise AnomalyError(
                f"Forward of '{node.sig.prim.name}' produced {value[index]} at index {index} of "
                f"its result of shape {value.shape}; operands there: "
                f"{_operands(node.inputs, index)}. Recorded at {node.line or 'an unknown line'}."
            )


def observer(env: dict[Any, Any]) -> Callable[[Equation, Sequence[Any]], None]:
    """Return a check for the cotangents that each backward rule returns."""

    def observe(eqn: Equation, cts: Sequence[Any]) -> None:
        for k, ct in enumerate(cts):
            if ct is None or is_number(ct):
                continue
            value = value_of(ct)
            index = first_non_finite(value)
            if index is not None:
                xs = [read(env, a) for a in eqn.inputs]
                raise AnomalyError(
                    f"Function '{eqn.prim.grad_name}Backward0' returned {value[index]} (nan or "
                    f"infinite values) in its {k}th output, at index {index}; operands there: "
                    f"{_operands(xs, index)}. The forward operation '{eqn.prim.name}' was "
                    f"recorded at {eqn.line or 'an unknown line'}."
                )

    return observe
