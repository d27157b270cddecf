"""Activations of neurons. The shares of ``logaddexp`` are sigmoids."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.ops.elements.arithmetic import (
    NONZERO,
)
from nbgrad.ops.elements.comparison import greater, indicator
from nbgrad.ops.elements.trigonometric import FLOATING, tanh
from nbgrad.ops.kinds.elementwise import elementwise
from nbgrad.ops.kinds.promotion import common_loop


def _sigmoid(x: Any) -> Any:
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-wide))).astype(np.result_type(x, np.float16), copy=False)


sigmoid = elementwise(
    "sigmoid",
    namespace="special",
    expr="sigmoid_{c}({x})",
    reference=_sigmoid,
    loop=FLOATING,
    partials=lambda out, x: (sigmoid_slope(x),),
    doc="Logistic function 1 / (1 + exp(-x)).",
)


sigmoid_slope = elementwise(
    "sigmoid_slope",
    namespace="special",
    public=False,
    # 1 - sigmoid(x) would lose the digits of a small derivative.
    expr="sigmoid_{c}({x}) * sigmoid_{c}(-{x})",
    reference=lambda x: _sigmoid(x) * _sigmoid(-x),
    loop=FLOATING,
    partials=lambda out, x: (-out * tanh(0.5 * x),),
    grad_name="Sigmoid",
    doc="sigmoid(x) sigmoid(-x), the derivative of sigmoid.",
)


def _softplus(x: Any) -> Any:
    return np.logaddexp(x, np.zeros((), np.asarray(x).dtype))


softplus = elementwise(
    "softplus",
    namespace="special",
    expr="softplus_{c}({x})",
    reference=_softplus,
    loop=common_loop(floating=True, ordered=True),
    partials=lambda out, x: (sigmoid(x),),
    doc="log(1 + exp(x)), without overflow.",
)


def _relu(x: Any) -> Any:
    return np.where(x < 0, np.zeros((), np.asarray(x).dtype), x)


relu = elementwise(
    "relu",
    namespace="special",
    expr="({t}(0) if {x} < {t}(0) else {x})",
    reference=_relu,
    loop=common_loop(ordered=True),
    partials=lambda out, x: (indicator(greater(x, 0), out),),
    domain=NONZERO,
    dtypes="fiu",
    doc="x where positive, else 0; derivative 0 at 0.",
)
