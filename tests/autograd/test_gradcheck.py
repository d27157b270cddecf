"""``gradcheck`` and ``gradgradcheck``: right derivatives pass, each kind of wrong one fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.autograd import gradcheck, gradgradcheck
from nbgrad.errors import GradcheckError


def leaf(shape: tuple[int, ...] = (2, 3), seed: int = 0) -> Any:
    values = np.random.default_rng(seed).uniform(0.3, 1.7, size=shape)
    return ng.tensor(values, requires_grad=True)


class Square(ng.autograd.Function):
    """The square, whose derivative is off by ``error``."""

    error = 0.0

    @classmethod
    def wrong(cls, error: float) -> Any:
        return type("Wrong", (cls,), {"backward": staticmethod(cls.make_backward(error))})

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def make_backward(error: float) -> Any:
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * (2 + error) * x

        return backward

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 2 * x


class RightOnlyAtFirstOrder(ng.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 2 * x.detach()


RIGHT = [
    ("exp", lambda x: x.exp()),
    ("scalar result", lambda x: (x**3).sum()),
    ("reduction over an axis", lambda x: x.std(axis=0)),
    ("matmul", lambda x: ng.matmul(x, x.T)),
    ("indexing", lambda x: x[:, ::-1][0]),
    ("two results", lambda x: (x.sin(), x.sum())),
    ("custom function", Square.apply),
]


@pytest.mark.parametrize("f", [r[1] for r in RIGHT], ids=[r[0] for r in RIGHT])
def test_right_derivatives_pass(f: Any) -> None:
    assert gradcheck(f, (leaf(),)) is True
    assert gradgradcheck(f, (leaf(),)) is True


def test_single_input_need_not_be_a_tuple() -> None:
    assert gradcheck(lambda x: x * x, leaf()) is True


@pytest.mark.parametrize("error", [1.0, -4.0, 0.01])
def test_wrong_derivative_fails(error: float) -> None:
    wrong = Square.wrong(error)
    assert gradcheck(wrong.apply, (leaf(),), raise_exception=False) is False
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(wrong.apply, (leaf(),))


def test_tolerances_decide() -> None:
    wrong = Square.wrong(1e-4)
    options: dict[str, Any] = {"raise_exception": False, "atol": 1e-6}
    assert gradcheck(wrong.apply, (leaf(),), rtol=1e-3, **options) is True
    assert gradcheck(wrong.apply, (leaf(),), rtol=1e-5, **options) is False


def test_wrong_second_derivative_fails_only_the_second_check() -> None:
    assert gradcheck(RightOnlyAtFirstOrder.apply, (leaf(),)) is True
    assert gradgradcheck(RightOnlyAtFirstOrder.apply, (leaf(),), raise_exception=False) is False
    with pytest.raises(RuntimeError, match="mismatch"):
        gradgradcheck(RightOnlyAtFirstOrder.apply, (leaf(),))


def test_detached_part_of_the_function_fails() -> None:
    assert gradcheck(lambda x: x * x.detach(), (leaf(),), raise_exception=False) is False


def test_kink_fails() -> None:
    x = ng.tensor([1.0, 0.0], requires_grad=True)
    assert gradcheck(ng.relu, (x,), raise_exception=False) is False


def test_several_inputs_of_which_one_is_constant() -> None:
    x, y, constant = leaf(seed=1), leaf(seed=2), leaf(seed=3).detach()
    assert gradcheck(lambda a, b, c: a * b.exp() + c, (x, y, constant)) is True
    assert gradcheck(lambda a, k: a * k, (x, 2)) is True
    half_wrong = lambda a, b: a * b.detach()
    assert gradcheck(half_wrong, (x, y), raise_exception=False) is False


def test_no_input_requires_grad() -> None:
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(lambda x: x, (ng.ones(2),))


def test_inputs_are_left_alone() -> None:
    x = leaf()
    before = x.tolist()
    gradcheck(lambda x: x.exp(), (x,))
    assert x.tolist() == before
    assert x.grad is None and x.is_leaf and x.requires_grad


def test_empty_and_zero_dimensional_inputs() -> None:
    assert gradcheck(lambda x: x.sin(), (leaf(()),)) is True
    assert gradcheck(lambda x: x.sin(), (leaf((0, 3)),)) is True


def test_forward_mode_is_checked_when_asked() -> None:
    class WrongTangent(ng.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

        @staticmethod
        def jvp(ctx, t):
            return t * 3

    for fast in (False, True):
        assert gradcheck(WrongTangent.apply, (leaf(),), fast_mode=fast)
        with pytest.raises(GradcheckError, match="computed with forward mode mismatch"):
            gradcheck(WrongTangent.apply, (leaf(),), check_forward_ad=True, fast_mode=fast)
        assert gradcheck(lambda x, y: (x * y.sin(), y), (leaf(), leaf()), check_forward_ad=True)
    with pytest.raises(AssertionError, match="at least one"):
        gradcheck(ng.sin, (leaf(),), check_backward_ad=False)
    with pytest.raises(NotImplementedError, match="vmap"):
        gradcheck(ng.sin, (leaf(),), check_batched_grad=True)


@pytest.mark.parametrize("kind", [float, complex])
def test_one_random_direction_finds_what_is_wrong_anywhere(kind: type) -> None:
    x = ng.tensor(np.linspace(0.2, 1.0, 200), dtype=kind, requires_grad=True)
    mask = np.arange(200) != 117
    assert gradcheck(lambda x: x * x, (x,), fast_mode=True)
    assert not gradcheck(
        lambda x: x * ng.where(mask, x, x.detach()), (x,), fast_mode=True, raise_exception=False
    )
    assert gradgradcheck(lambda x: x**3, (x,), fast_mode=True)


def test_a_backward_that_draws_numbers_is_found() -> None:
    class Noisy(ng.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * (1 + 1e-4 * ng.rand(2))

    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(Noisy.apply, (ng.ones(2, requires_grad=True),))
    assert gradcheck(Noisy.apply, (ng.ones(2, requires_grad=True),), nondet_tol=1e-3)


def test_an_output_off_the_graph_that_depends_on_the_input_fails() -> None:
    with pytest.raises(GradcheckError, match="expected to be zero"):
        gradcheck(lambda x: x.detach() * 2, (leaf(),))
