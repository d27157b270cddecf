"""Representative programs whose emitted text is kept in tests/golden, one file for each.

After a change of the emitter that is meant to change the text, write the files anew and read the
difference before it is committed::

    python tests/support/golden_programs.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import nbgrad as ng
from nbgrad.core.aval import make_aval
from nbgrad.core.interpret import walk
from nbgrad.core.linearize import linearize
from nbgrad.core.node import constant, placeholder
from nbgrad.core.tape import Tape
from nbgrad.program.loops import Loop
from nbgrad.program.program import Program, make_program
from nbgrad.program.text import Emitted
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.simplify import simplify

FOLDER = Path(__file__).parents[1] / "golden"
Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def trace(f: Callable[..., Any], *shapes: Shape, dtype: Any = np.float64) -> Tape:
    """The simplified tape of *f*, a function of arrays of these shapes that captures none."""
    inputs = [placeholder(make_aval(shape, np.dtype(dtype))) for shape in shapes]
    found = f(*(Tensor(node) for node in inputs))
    outputs = found if isinstance(found, (tuple, list)) else (found,)
    nodes = [y._node if isinstance(y, Tensor) else constant(y) for y in outputs]
    tape, constants = linearize(nodes, inputs)
    assert not constants, "a golden program reads nothing but its arguments"
    return simplify(tape)


def gradients(f: Callable[..., Any]) -> Callable[..., Any]:
    """The value of *f* followed by its gradient with respect to every argument."""

    def both(*xs: Tensor) -> list[Any]:
        value, found = ng.value_and_grad(f, argnums=range(len(xs)))(*xs)
        return [value, *found]

    return both


def elementwise_chain(x: Any, y: Any) -> Any:
    return (ng.exp(-(x * x)) * ng.sin(y) + x / y).sum()


def softmax(x: Any) -> Any:
    e = ng.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def laplacian(u: Any) -> Any:
    inner = u[1:-1, 1:-1]
    residual = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * inner
    return (residual * residual).sum()


def columns(x: Any) -> Any:
    return ng.exp(x).sum(axis=0)


def network(x: Any, w: Any, b: Any, v: Any) -> Any:
    hidden = ng.tanh(x @ w + b)
    return ((hidden @ v) ** 2).mean()


def rosenbrock(x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def moments(x: Any) -> Any:
    return x.mean(axis=1), x.var(axis=1)


def joined(x: Any, y: Any) -> Any:
    return ng.concatenate([x[::-1], 2.5 * y, x * y[:1]]) ** 2


def long_sum(x: Any) -> Any:
    return (ng.sqrt(x) * 0.25).sum(), x.max()


def recurrence(a: Any, b: Any, x: Any, us: Any) -> Any:
    """A branch, a carry of two numbers, one stack read and one written."""

    def step(carry: Any, u: Any) -> Any:
        x, total = carry
        new = ng.where(x > u, a * x, x + b * ng.sin(u))
        return (new, total + new * new / 3), new

    (_, total), xs = ng.scan(step, (x, x), us)
    return total + xs.sum()


def rotation(w: Any, h: Any) -> Any:
    """Small arrays: their elements are variables."""

    def step(c: Any, _: Any) -> Any:
        return ng.stack([c[1] * w[0], c[2] - w[1], (c * w).sum()]), c[::-1]

    return ng.scan(step, h, length=5, reverse=True)


@dataclass(frozen=True)
class Golden:
    """A function and the shapes of its arguments."""

    function: Callable[..., Any]
    shapes: tuple[Shape, ...]
    dtype: Any = np.float64


GOLDEN = {
    "elementwise_chain_gradient": Golden(gradients(elementwise_chain), ((5,), (5,))),
    "softmax": Golden(softmax, ((4, 6),)),
    "laplacian_gradient": Golden(gradients(laplacian), ((20, 24),)),
    "sum_of_columns": Golden(columns, ((5, 9),)),
    "network_gradient": Golden(gradients(network), ((4, 3), (3, 5), (5,), (5, 2))),
    "rosenbrock_gradient": Golden(gradients(rosenbrock), ((10,),)),
    "moments": Golden(moments, ((3, 8),), np.float32),
    "concatenation": Golden(joined, ((4,), (3,))),
    "loop_gradient": Golden(gradients(recurrence), ((), (), (), (6,))),
    "loop_of_small_arrays": Golden(rotation, ((3,), (3,))),
    "sum_in_blocks": Golden(long_sum, ((40_000,),)),
}


@cache
def program(name: str) -> Program:
    """The planned program *name*."""
    golden = GOLDEN[name]
    return make_program(trace(golden.function, *golden.shapes, dtype=golden.dtype))


def kernels_of(name: str) -> list[Emitted]:
    """Kernels of the program *name*, those that hold a loop among them."""
    steps = [s.kernel if isinstance(s, Loop) else s for s in program(name).steps]
    return [s for s in steps if isinstance(s, Emitted)]


def arguments(name: str) -> list[Array]:
    """Positive arrays to run the program *name* on."""
    rng = np.random.default_rng(7)
    golden = GOLDEN[name]
    return [rng.uniform(0.25, 1.5, shape).astype(golden.dtype) for shape in golden.shapes]


def expected(name: str) -> list[Array]:
    """What the program *name* returns, by the NumPy references of its tape."""
    tape = program(name).tape
    env = walk(tape, arguments(name), lambda eqn, xs: eqn.prim.evaluate(*xs, **eqn.params))
    return [np.asarray(env[out]) for out in tape.outputs]  # type: ignore[index]


def update() -> None:
    """Write every file anew and remove those of programs that are gone."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.py"):
        if path.stem not in GOLDEN:
            path.unlink()
    for name in GOLDEN:
        (FOLDER / f"{name}.py").write_text(program(name).source())


if __name__ == "__main__":
    update()
