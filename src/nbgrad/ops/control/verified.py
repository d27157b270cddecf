"""``verified``: a value that is handed on if the facts beside it are as they should be.

Loops end where something goes wrong, and cannot raise there. What they return passes through this, and
so do its derivatives: an error is met by whoever asks for any of them.

Facts are rows of numbers: whether all is right, one that is told, others, and at the end as many flags as
the judge says, of which the last that is 0 says what is wrong. ``judge(facts)`` raises if there is
something, and ``judge.fault(code)`` returns the error of what a kernel tells: in the low 35 bits the first
ones of the number, then the number of the flag, from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Library


def _evaluate(x: Any, facts: Any, judge: Any) -> Any:
    judge(facts)
    return np.array(x)


def _vjp(ct: Any, y: Node, xs: Sequence[Any], params: Any, wants: Any) -> list[Any]:
    passed = verified(materialize(ct, y.aval), xs[1], judge=params["judge"])
    return [passed, None]


def _jvp(tangents: Any, y: Node, xs: Sequence[Any], params: Any) -> Any:
    if tangents[0] is None:
        return None
    return verified(materialize(tangents[0], y.aval), xs[1], judge=params["judge"])


verified = Primitive(
    name="verified",
    kind="opaque",
    evaluate=_evaluate,
    prepare=lambda xs, params: (xs, xs[0].aval, ()),
    rules=Rules(_vjp, _jvp, LEADING),
    lower=Library("verified", ("f", "f"), lambda params, x, facts: [(0, x.ndim), (0, facts.ndim)]),
    grad_name="Verified",
    doc="The first operand, if the judge of the second raises nothing.",
    registered=False,  # its derivative is not that of its value in all operands
)
