"""Products that are read transposed alone are computed that way, whoever wrote the transpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from differential import with_gradient

import nbgrad as ng
from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Tape
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.simplify import simplify

rng = np.random.default_rng(0)


def tape_of(f: Callable[..., Any], *shapes: tuple[int, ...]) -> Tape:
    inputs = [placeholder(make_aval(shape, np.dtype(float))) for shape in shapes]
    made = f(*map(Tensor, inputs))
    made = made if isinstance(made, (tuple, list)) else [made]
    return simplify(linearize([y._node for y in made], inputs)[0])


def names(f: Callable[..., Any], *shapes: tuple[int, ...]) -> list[str]:
    return [eqn.prim.name for eqn in tape_of(f, *shapes).eqns]


def test_the_result_lies_as_it_is_read() -> None:
    for shapes in [((5, 3), (3, 4)), ((2, 5, 3), (2, 3, 4))]:
        found = names(lambda a, b: (a @ b).mT, *shapes)
        assert found == ["transpose", "transpose", "matmul"]


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: ((a @ b).mT, a @ b),  # read as it is, too
        lambda a, b: ((a @ b).mT, (a @ b).sum()),
        lambda a, b: np.transpose(a @ b, (1, 2, 0)),  # another order
    ],
    ids=["read", "summed", "turned around"],
)
def test_others_stay(f: Callable[..., Any]) -> None:
    found = names(f, (2, 5, 3), (2, 3, 4))
    assert found.count("matmul") == 1 and found.index("matmul") < found.index("transpose")


def test_the_gradient_of_a_transposed_operand_is_no_view() -> None:
    """Whether the transpose is the user's or that of einsum: nothing is copied to hand it out."""
    for f in (
        lambda x, w: ng.sin(x @ w.T).sum(),
        lambda x, w: (ng.einsum("ij,kj->ik", x, w) ** 2).sum(),
    ):
        tape = tape_of(with_gradient(f), (5, 3), (4, 3))
        (last,) = [e for e in tape.eqns if tape.outputs[2] in e.outs]
        assert last.prim.name == "matmul"


@pytest.mark.parametrize("order", [1, 2])
def test_values_and_derivatives(order: int) -> None:
    a, b = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 3, 5))
    weights = rng.normal(size=(2, 5, 4))

    def loss(a: Any, b: Any) -> Any:
        return (weights * np.tanh((a @ b).mT)).sum()

    def plain(a: Any, b: Any) -> Any:
        return (weights * np.tanh(b.mT @ a.mT)).sum()

    for tier in ("reference", "block", "fused"):
        for argnum in (0, 1):
            with ng.configure(tier=tier):
                one, other = (derivative(f, argnum, order)(a, b) for f in (loss, plain))
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def derivative(f: Callable[..., Any], argnum: int, order: int) -> Callable[..., Any]:
    first = ng.grad(f, argnum)
    if order == 1:
        return first
    return ng.grad(lambda *xs: (first(*xs) ** 2).sum(), argnum)
