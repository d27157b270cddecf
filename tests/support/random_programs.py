"""Random programs of NumPy calls, which run on arrays and on tensors alike.

A program is built while it runs on arrays, so that each step fits the shapes it meets, keeps the
numbers moderate and stays away from kinks: what is left is differentiable by finite differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Step = tuple[str, int, int, int]

INPUT_SHAPES = [(3, 4), (4,), (3, 1), (), (4, 3)]
MAX_SIZE = 48
MAX_VALUE = 8.0
MARGIN = 0.02  # least distance from a kink, far beyond what the differences move a value
LAST = 3  # the loss is made of the last results


class Refused(Exception):
    """The operation does not fit these operands, or would leave the safe region."""


def need(condition: Any) -> None:
    if not condition:
        raise Refused


def axis_of(a: Any, k: int) -> int:
    need(a.ndim)
    return k % a.ndim


def apart(values: Array) -> None:
    """Refuse values that are near zero, where the operation has a kink."""
    need(values.size == 0 or np.abs(values).min() > MARGIN)


def far(values: Array, axis: Any) -> None:
    """Refuse ties of an extremum over *axis*."""
    need(values.size)
    for sign in (1, -1):
        ordered = np.sort(sign * values, axis=axis)
        if ordered.shape[axis] > 1:
            apart(np.take(ordered, -1, axis) - np.take(ordered, -2, axis))


# ------------------------------------------------------------------------------------- operations
# Each takes two operands and a number. On arrays a check comes first.


def _maximum(a: Any, b: Any, k: int) -> Any:
    return np.maximum(a, b) if k % 2 else np.minimum(a, b)


def _where(a: Any, b: Any, k: int) -> Any:
    return np.where(a > 0.3, a * 2.0, b)


def _clip(a: Any, b: Any, k: int) -> Any:
    return np.clip(a, -0.7, 0.6)


def _extremum(a: Any, b: Any, k: int) -> Any:
    function = np.max if k % 2 else np.min
    return function(a, axis=axis_of(a, k), keepdims=bool(k & 4))


def _reduce(a: Any, b: Any, k: int) -> Any:
    function = (np.sum, np.mean, np.prod, np.var)[k % 4]
    axis = None if k & 16 or not a.ndim else axis_of(a, k >> 2)
    return function(a, axis=axis, keepdims=bool(k & 32))


def _slice(a: Any, b: Any, k: int) -> Any:
    axis_of(a, k)
    windows = (slice(1, None), slice(None, None, -1), slice(None, -1), slice(None, None, 2))
    index = tuple(windows[(k >> d) % 4] for d in range(a.ndim))
    return a[index]


def _gather(a: Any, b: Any, k: int) -> Any:
    axis_of(a, k)
    need(a.shape[0])
    return a[np.array([k, k // 2, k // 3, k]) % a.shape[0]]


def _mask(a: Any, b: Any, k: int) -> Any:
    axis_of(a, k)
    need(a.shape[0] > 1)
    return a[np.arange(a.shape[0]) % 2 == k % 2]


def _assign(a: Any, b: Any, k: int) -> Any:
    axis_of(a, k)
    need(
        a.shape[0] > 1
        and b.ndim <= a.ndim - 1
        and np.broadcast_shapes(a.shape[1:], b.shape) == a.shape[1:]
    )
    out = a * 1.0
    out[k % a.shape[0]] = b
    return out


def _matmul(a: Any, b: Any, k: int) -> Any:
    need(a.ndim and b.ndim and a.shape[-1] == b.shape[-2 if b.ndim > 1 else 0])
    return np.matmul(a, b)


def _join(a: Any, b: Any, k: int) -> Any:
    need(a.shape == b.shape)
    if k % 2 or not a.ndim:
        return np.stack([a, b], axis=k % (a.ndim + 1))
    return np.concatenate([a, b], axis=axis_of(a, k))


def _broadcast(a: Any, b: Any, k: int) -> Any:
    return np.broadcast_to(a, np.broadcast_shapes(a.shape, b.shape))


def _reshape(a: Any, b: Any, k: int) -> Any:
    return np.reshape(a, ((-1,), (1, -1), (-1, 1))[k % 3])


OPERATIONS: dict[str, Callable[[Any, Any, int], Any]] = {
    "add": lambda a, b, k: a + b,
    "subtract": lambda a, b, k: a - b,
    "multiply": lambda a, b, k: a * b,
    "divide": lambda a, b, k: a / (1.5 + b * b),
    "scale": lambda a, b, k: (k % 7 - 3.5) * a + 0.25,
    "reflected": lambda a, b, k: 1.0 / (2.0 + np.square(a)) - 0.5,
    "negative": lambda a, b, k: -a,
    "square": lambda a, b, k: a**2,
    "cube": lambda a, b, k: a**3,
    "sqrt": lambda a, b, k: np.sqrt(1.0 + a * a),
    "exp": lambda a, b, k: np.exp(-a),
    "log": lambda a, b, k: np.log(1.2 + np.square(a)),
    "log1p": lambda a, b, k: np.log1p(a * a),
    "sin": lambda a, b, k: np.sin(a),
    "cos": lambda a, b, k: np.cos(a),
    "tanh": lambda a, b, k: np.tanh(a),
    "arctan": lambda a, b, k: np.arctan(a),
    "arctan2": lambda a, b, k: np.arctan2(a, 1.5 + b * b),
    "power": lambda a, b, k: (1.0 + a * a) ** (0.3 * b),
    "absolute": lambda a, b, k: np.abs(a),
    "maximum": _maximum,
    "where": _where,
    "clip": _clip,
    "extremum": _extremum,
    "reduce": _reduce,
    "slice": _slice,
    "gather": _gather,
    "mask": _mask,
    "assign": _assign,
    "matmul": _matmul,
    "join": _join,
    "broadcast": _broadcast,
    "reshape": _reshape,
    "transpose": lambda a, b, k: np.transpose(a),
    "expand": lambda a, b, k: np.expand_dims(a, k % (a.ndim + 1)),
    "squeeze": lambda a, b, k: np.squeeze(a),
}
CHECKS: dict[str, Callable[[Array, Array, int], Any]] = {
    "absolute": lambda a, b, k: apart(a),
    "maximum": lambda a, b, k: apart(np.asarray(a - b)),
    "where": lambda a, b, k: apart(a - 0.3),
    "clip": lambda a, b, k: (apart(a + 0.7), apart(a - 0.6)),
    "extremum": lambda a, b, k: far(a, axis_of(a, k)),
}
NAMES = list(OPERATIONS)


# ---------------------------------------------------------------------------------------- programs


@dataclass(frozen=True)
class Program:
    """Steps that fit, the inputs they were fitted to, and a direction to differentiate along."""

    steps: tuple[Step, ...]
    inputs: tuple[Array, ...]
    direction: tuple[Array, ...]

    def __call__(self, *inputs: Any, watch: Callable[[Any], None] | None = None) -> Any:
        """The loss. *watch* sees the result of the step in the middle."""
        values = list(inputs)
        for n, (name, i, j, k) in enumerate(self.steps):
            values.append(OPERATIONS[name](values[i], values[j], k))
            if watch is not None and n == len(self.steps) // 2:
                watch(values[-1])
        loss = 0.0
        for n, value in enumerate(values[-LAST:]):
            loss = loss + np.sum(value * (1.0 + 0.5 * n))
        return loss

    def slope(self, step: float) -> float:
        """Directional derivative by central differences of fourth order."""

        def at(t: float) -> float:
            moved = (x + t * v for x, v in zip(self.inputs, self.direction, strict=True))
            return float(self(*moved))

        near, distant = at(step) - at(-step), at(2 * step) - at(-2 * step)
        return (8 * near - distant) / (12 * step)


def build(choices: Sequence[Step], seed: int) -> Program:
    """Make a program of *choices*; an operation that does not fit becomes a sine."""
    rng = np.random.default_rng(seed)
    inputs = tuple(np.array(rng.uniform(-1.5, 1.5, size=shape)) for shape in INPUT_SHAPES)
    direction = tuple(np.array(rng.normal(size=shape)) for shape in INPUT_SHAPES)
    values: list[Array] = list(inputs)
    steps: list[Step] = []
    for name, i, j, k in choices:
        # Operands come from the latest results, so that programs are deep.
        first, second = (max(0, len(values) - 1 - n) for n in (i, j))
        step = (name, first, second, k)
        try:
            value = _tried(values, step)
        except (Refused, ValueError):
            step = ("sin", first, first, 0)
            value = np.asarray(np.sin(values[first]))
        steps.append(step)
        values.append(value)
    return Program(tuple(steps), inputs, direction)


def _tried(values: list[Array], step: Step) -> Array:
    name, i, j, k = step
    a, b = values[i], values[j]
    if name in CHECKS:
        CHECKS[name](a, b, k)
    value = np.asarray(OPERATIONS[name](a, b, k))
    need(0 < value.size <= MAX_SIZE and np.abs(value).max() < MAX_VALUE)
    return value
