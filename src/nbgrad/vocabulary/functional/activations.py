"""Activations, by the names of ``torch.nn.functional``; of ``jax.nn`` where it has others.

At a kink the derivative is PyTorch's: that of the side where the function is written to hold.
What a branch that is not taken computes is kept finite, so that no policy for NaN matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nbgrad.core.node import Node
from nbgrad.ops.elements import activations, exponential, trigonometric
from nbgrad.ops.elements.arithmetic import absolute, sqrt
from nbgrad.ops.elements.comparison import greater, less, less_equal, logical_and
from nbgrad.ops.elements.selection import where
from nbgrad.ops.special.entropy import log_expit
from nbgrad.ops.special.erf import erf
from nbgrad.vocabulary import special
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements import composite
from nbgrad.vocabulary.shapes import as_node, one_axis, reshape
from nbgrad.vocabulary.subscript import getitem

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def activation(
    *given: float, aliases: tuple[str, ...] = (), jax: str = ""
) -> Callable[[Any], Any]:
    """Declare an activation, whose tests call it with a sample, and with the settings *given* too."""

    def declare(f: Any) -> Any:
        reference = f"jax.nn.{jax}" if jax else f"torch.nn.functional.{f.__name__}"
        cases = lambda d: [call(2 * d(5)), *([call(2 * d(5), *given)] if given else [])]
        return function("functional", reference, cases=cases, aliases=aliases)(f)

    return declare


def _between(x: Node, low: float, high: float) -> Node:
    """X inside of the open interval, and its ends outside, where the derivative is 0."""
    inside = logical_and(greater(x, low), greater(high, x))
    return where(inside, x, composite.detached(composite.clip(x, low, high)))


@activation()
def relu(input: Any) -> Node:
    """X where positive, else 0; derivative 0 at 0."""
    return activations.relu(as_node(input))


@activation()
def relu6(input: Any) -> Node:
    """X limited to [0, 6]; derivative 0 at both ends."""
    return hardtanh(input, 0.0, 6.0)


@activation(0.2)
def leaky_relu(input: Any, negative_slope: float = 0.01) -> Node:
    """X where positive, else x times *negative_slope*."""
    x = as_node(input)
    return where(greater(x, 0), x, x * negative_slope)


@function(
    "functional",
    "torch.nn.functional.prelu",
    cases=lambda d: [call(d(4), d(1)), call(d(2, 3, 2), d(3))],
)
def prelu(input: Any, weight: Any) -> Node:
    """X where positive, else x times *weight*: one number, or one for each place along axis 1."""
    x, slope = as_node(input), as_node(weight)
    if slope.size != 1 and (x.ndim < 2 or slope.shape != (x.shape[1],)):
        raise ValueError(
            f"prelu: weight of shape {slope.shape} is neither one number nor one for each place "
            f"along axis 1 of input, of shape {x.shape}"
        )
    if slope.ndim and x.ndim > 1:
        slope = reshape(slope, (-1, *(1,) * (x.ndim - 2)))
    return where(greater(x, 0), x, x * slope)


@activation(1.5)
def elu(input: Any, alpha: float = 1.0) -> Node:
    """X where positive, else ``alpha (exp(x) - 1)``."""
    x = as_node(input)
    positive = greater(x, 0)
    return where(positive, x, exponential.expm1(where(positive, 0.0, x)) * alpha)


@activation()
def selu(input: Any) -> Node:
    """Elu with the alpha and the scale by which activations keep mean 0 and variance 1."""
    return elu(input, SELU_ALPHA) * SELU_SCALE


@activation(1.5)
def celu(input: Any, alpha: float = 1.0) -> Node:
    """X where positive, else ``alpha (exp(x / alpha) - 1)``: smooth for every alpha."""
    x = as_node(input)
    positive = greater(x, 0)
    return where(positive, x, exponential.expm1(where(positive, 0.0, x) / alpha) * alpha)


@function(
    "functional",
    "torch.nn.functional.gelu",
    cases=lambda d: [call(2 * d(5)), call(2 * d(5), approximate="tanh")],
)
def gelu(input: Any, approximate: str = "none") -> Node:
    """X times the normal distribution function of x; with ``approximate="tanh"`` by that formula."""
    x = as_node(input)
    if approximate == "none":
        return x * (erf(x * math.sqrt(0.5)) + 1.0) * 0.5
    if approximate != "tanh":
        raise ValueError(f'gelu: approximate must be "none" or "tanh", not {approximate!r}')
    inner = (x + x * x * x * 0.044715) * math.sqrt(2.0 / math.pi)
    return x * (trigonometric.tanh(inner) + 1.0) * 0.5


@activation(aliases=("swish",))
def silu(input: Any) -> Node:
    """``x sigmoid(x)``."""
    x = as_node(input)
    return x * activations.sigmoid(x)


@activation()
def mish(input: Any) -> Node:
    """``x tanh(softplus(x))``."""
    x = as_node(input)
    return x * trigonometric.tanh(activations.softplus(x))


@activation()
def sigmoid(input: Any) -> Node:
    """``1 / (1 + exp(-x))``."""
    return activations.sigmoid(as_node(input))


@activation(aliases=("log_sigmoid",))
def logsigmoid(input: Any) -> Node:
    """Logarithm of sigmoid, without overflow."""
    return log_expit(as_node(input))


@activation()
def tanh(input: Any) -> Node:
    """Hyperbolic tangent."""
    return trigonometric.tanh(as_node(input))


@activation(2.0)
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Node:
    """``log(1 + exp(beta x)) / beta``, without overflow, and x itself where ``beta x`` is above *threshold*."""
    x = as_node(input)
    large = greater(x * beta, threshold)
    return where(large, x, activations.softplus(where(large, 0.0, x) * beta) / beta)


@activation(-0.5, 0.5, aliases=("hard_tanh",))
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Node:
    """X limited to [min_val, max_val]; derivative 0 at both ends."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    return _between(as_node(input), min_val, max_val)


@activation(aliases=("hard_sigmoid",))
def hardsigmoid(input: Any) -> Node:
    """``relu6(x + 3) / 6``."""
    return relu6(as_node(input) + 3.0) / 6.0


@activation(aliases=("hard_swish", "hard_silu"))
def hardswish(input: Any) -> Node:
    """``x hardsigmoid(x)``."""
    x = as_node(input)
    return x * hardsigmoid(x)


@activation(aliases=("soft_sign",))
def softsign(input: Any) -> Node:
    """``x / (1 + abs(x))``."""
    x = as_node(input)
    return x / (absolute(x) + 1.0)


@activation()
def tanhshrink(input: Any) -> Node:
    """``x - tanh(x)``."""
    x = as_node(input)
    return x - trigonometric.tanh(x)


@activation(0.8)
def softshrink(input: Any, lambd: float = 0.5) -> Node:
    """X moved towards 0 by *lambd*, and 0 where it is not farther away."""
    x = as_node(input)
    return where(greater(x, lambd), x - lambd, where(less(x, -lambd), x + lambd, x * 0.0))


@activation(0.8)
def hardshrink(input: Any, lambd: float = 0.5) -> Node:
    """X where it is farther than *lambd* from 0, else 0."""
    x = as_node(input)
    return where(less_equal(absolute(x), lambd), 0.0, x)


@function(
    "functional", "torch.nn.functional.threshold", cases=lambda d: [call(2 * d(5), 0.5, -1.0)]
)
def threshold(input: Any, threshold: float, value: float) -> Node:
    """X where it is above *threshold*, else *value*."""
    x = as_node(input)
    return where(less_equal(x, threshold), value, x)


@activation(jax="squareplus")
def squareplus(x: Any, b: float = 4.0) -> Node:
    """``(x + sqrt(x**2 + b)) / 2``: as softplus, of algebra alone."""
    node = as_node(x)
    return (node + sqrt(node * node + b)) * 0.5


@function(
    "functional",
    "torch.nn.functional.glu",
    cases=lambda d: [call(d(2, 4)), call(d(4, 2), axis=0)],
)
def glu(input: Any, axis: int = -1) -> Node:
    """One half of x along *axis*, times the sigmoid of the other half."""
    x = as_node(input)
    at = one_axis("glu", axis, x.ndim)
    if x.shape[at] % 2:
        raise ValueError(
            f"glu: axis {at} of shape {x.shape} has no two halves: {x.shape[at]} is odd"
        )
    half, before = x.shape[at] // 2, (slice(None),) * at
    gate = getitem(x, (*before, slice(half, None)))
    return getitem(x, (*before, slice(half))) * activations.sigmoid(gate)


def _over(axis: int) -> Callable[[Any], list[Any]]:
    return lambda d: [call(d(2, 3), axis=axis), call(d(2, 3), axis=0)]


@function("functional", "torch.nn.functional.softmax", cases=_over(1))
def softmax(input: Any, axis: int = -1) -> Node:
    """Exponentials over *axis*, normalised to add up to 1."""
    return composite.softmax(as_node(input), axis)


@function("functional", "torch.nn.functional.log_softmax", cases=_over(1))
def log_softmax(input: Any, axis: int = -1) -> Node:
    """Logarithm of softmax over *axis*, without overflow."""
    return special.log_softmax(as_node(input), axis)


@function("functional", "torch.nn.functional.softmin", cases=_over(1))
def softmin(input: Any, axis: int = -1) -> Node:
    """``softmax(-x)`` over *axis*."""
    return composite.softmax(-as_node(input), axis)
