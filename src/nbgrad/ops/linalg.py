"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.node import Node
from nbgrad.ops.kinds import Contraction, bilinear, conjugate
from nbgrad.ops.structure import transpose


def _adjoint(x: Node) -> Node:
    """Conjugate and transpose the last two dimensions."""
    return transpose(conjugate(x), perm=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _matmul_aval(a: Aval, b: Aval) -> Aval:
    if a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2]:
        raise ValueError(
            f"matmul: shapes {a.shape} and {b.shape} do not match: the last dimension of the "
            "first operand must equal the second-to-last of the second"
        )
    return make_aval((*a.shape[:-1], b.shape[-1]), a.dtype)


matmul = bilinear(
    "matmul",
    aval=_matmul_aval,
    adjoints=(
        lambda ct, b, a_aval: matmul(ct, _adjoint(b)),
        lambda ct, a, b_aval: matmul(_adjoint(a), ct),
    ),
    evaluate=lambda a, b: np.matmul(a, b),
    lower=Contraction(),
    cases=(((2, 3), (3, 4)), ((2, 2, 3), (2, 3, 1)), ((3, 0), (0, 2))),
    grad_name="Mm",
    doc="Matrix product of the last two dimensions; the leading ones are equal.",
)
