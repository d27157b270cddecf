"""How cotangents travel: shapes, dtypes, seeds, unused inputs, aliasing, exact zeros."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

TIERS = ["reference", "block", "fused"]


def leaf(values: Any, dtype: Any = np.float64) -> Any:
    return ng.tensor(np.array(values, dtype=dtype), requires_grad=True)


# ----------------------------------------------------------------------------------- un-broadcast

SHAPES = [
    ((3,), ()),
    ((), (2, 3)),
    ((2, 3), (3,)),
    ((2, 3), (1, 3)),
    ((2, 1), (1, 3)),
    ((2, 3), (2, 1)),
    ((4, 1, 3), (2, 1)),
    ((1, 1), (2, 3)),
    ((1,), (1, 1, 1)),
    ((0, 3), (1, 3)),
    ((0,), ()),
]


def reduced(full: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum *full* over the dimensions that broadcasting added to *shape*."""
    lead = full.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + k for k, n in enumerate(shape) if n == 1 and full.shape[lead + k] != 1
    )
    return full.sum(axis=axes, keepdims=True).reshape(shape)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_gradient_is_summed_over_broadcast_dimensions(
    left: tuple[int, ...], right: tuple[int, ...], tier: str
) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.uniform(1, 2, size=left), rng.uniform(1, 2, size=right)
    v = rng.normal(size=np.broadcast_shapes(left, right))
    x, y = leaf(a), leaf(b)
    with ng.configure(tier=tier):
        (x * y + x / y).backward(ng.tensor(v))
        assert x.grad.shape == left and y.grad.shape == right
        assert_allclose(x.grad.numpy(), reduced(v * (b + 1 / b), left), rtol=1e-12, atol=1e-14)
        assert_allclose(y.grad.numpy(), reduced(v * (a - a / b**2), right), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (1,), (0, 2)])
def test_constant_gradient_has_the_shape_of_its_leaf(shape: tuple[int, ...], tier: str) -> None:
    for f, slope in [(lambda x: (x * 2).sum(), 2.0), (lambda x: x.sum(), 1.0)]:
        x = leaf(np.ones(shape))
        with ng.configure(tier=tier):
            f(x).backward()
            assert x.grad.shape == x.grad.numpy().shape == shape
            assert_allclose(x.grad.numpy(), np.full(shape, slope))
            assert_allclose(ng.grad(ng.jit(f))(np.ones(shape)), np.full(shape, slope))
            f(x).backward()
            assert_allclose(x.grad.numpy(), np.full(shape, 2 * slope))


def test_gradient_of_explicit_broadcast() -> None:
    x = leaf([[1.0], [2.0]])
    weights = np.arange(12.0).reshape(2, 2, 3)
    (ng.broadcast_to(x, (2, 2, 3)) * weights).sum().backward()
    assert_allclose(x.grad.numpy(), weights.sum(axis=(0, 2))[:, None])


@pytest.mark.parametrize("f", [ng.add, ng.subtract, ng.multiply, ng.maximum, ng.arctan2])
def test_shapes_that_do_not_fit_raise_at_the_operation(f: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=f.__name__):
        f(leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("shapes", [((2,), (3,)), ((2, 3), (2,)), ((2, 3), (2, 3)), ((), (2,))])
def test_matrix_products_that_do_not_fit_raise_at_the_operation(shapes: Any) -> None:
    with pytest.raises(ValueError, match=r"matmul|dot"):
        ng.matmul(*(ng.ones(shape) for shape in shapes))


# ------------------------------------------------------------------------------- cotangent dtypes


@pytest.mark.parametrize("tier", TIERS)
def test_gradient_has_the_dtype_of_its_leaf(tier: str) -> None:
    x, y = leaf([1.5, 2.5], np.float32), leaf([2.0, 4.0])
    with ng.configure(tier=tier):
        z = x * y
        z.sum().backward()
        assert z.dtype == np.float64
        assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64
        assert_allclose(x.grad.numpy(), [2.0, 4.0])
        assert_allclose(y.grad.numpy(), [1.5, 2.5])


def test_gradient_passes_through_casts() -> None:
    x = leaf([1.5, 2.5])
    y = x.float()
    assert y.dtype == np.float32
    (y.double() * y.double()).sum().backward()
    assert x.grad.dtype == np.float64
    assert_allclose(x.grad.numpy(), [3.0, 5.0])


@pytest.mark.parametrize("given", [np.float64, np.int64, np.float32])
def test_seed_is_cast_to_the_dtype_of_the_output(given: Any) -> None:
    x = leaf([1.0, 2.0], np.float32)
    (x * x).backward(ng.tensor(np.array([1, 3], dtype=given)))
    assert x.grad.dtype == np.float32
    assert_allclose(x.grad.numpy(), [2.0, 12.0])


def test_complex_seed_of_a_real_output_raises() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"complex|dtype"):
        (x * x).backward(ng.tensor(np.array([1j, 1.0])))


@pytest.mark.parametrize("shape", [(), (1,), (1, 2), (2, 1), (3,)])
def test_seed_must_have_exactly_the_shape_of_the_output(shape: tuple[int, ...]) -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * x).backward(ng.tensor(np.ones(shape)))
    assert x.grad is None


def test_seed_may_be_a_numpy_array() -> None:
    x = leaf([1.0, 2.0])
    (x * x).backward(np.array([1.0, 3.0]))
    assert_allclose(x.grad.numpy(), [2.0, 12.0])


# ------------------------------------------------------------------------- which inputs, which not


def test_unused_input_is_none_or_zeros_on_request() -> None:
    x, unused = leaf([1.0, 2.0]), leaf([[1.0, 2.0, 3.0]])
    y = (x * x).sum()
    options: dict[str, Any] = {"retain_graph": True}
    by_x, by_unused = ng.autograd.grad(y, [x, unused], allow_unused=True, **options)
    assert by_unused is None
    assert_allclose(by_x.numpy(), [2.0, 4.0])
    by_x, by_unused = ng.autograd.grad(y, [x, unused], materialize_grads=True, **options)
    assert_allclose(by_unused.numpy(), np.zeros((1, 3)))
    assert_allclose(by_x.numpy(), [2.0, 4.0])


def test_functional_gradient_of_an_unused_argument_is_zero() -> None:
    by_x, by_y = ng.grad(lambda x, y: (x * x).sum(), argnums=(0, 1))(np.ones(2), np.ones((2, 3)))
    assert_allclose(by_x, [2.0, 2.0])
    assert_allclose(by_y, np.zeros((2, 3)))
    assert_allclose(ng.grad(lambda x: 3.0 + 0 * x.sum().detach())(np.ones(2)), np.zeros(2))


def test_backward_restricted_to_some_leaves() -> None:
    x, y = leaf(2.0), leaf(3.0)
    (x * y).backward(inputs=[x])
    assert x.grad.item() == 3.0 and y.grad is None


def test_backward_restricted_to_an_intermediate_result() -> None:
    x = leaf(2.0)
    y = x * 3
    (y * y).backward(inputs=[y])
    assert y.grad.item() == 12.0 and x.grad is None


def test_several_outputs_at_once() -> None:
    x = leaf([1.0, 2.0])
    ng.autograd.backward([x * x, x * 3], [ng.ones(2), ng.ones(2)])
    assert_allclose(x.grad.numpy(), [5.0, 7.0])
    (total,) = ng.autograd.grad([(x * x).sum(), (x * 3).sum()], x)
    assert_allclose(total.numpy(), [5.0, 7.0])
    (weighted,) = ng.autograd.grad([x * x, x * 3], x, grad_outputs=[ng.ones(2), 2 * ng.ones(2)])
    assert_allclose(weighted.numpy(), [8.0, 10.0])


def test_input_that_is_the_output() -> None:
    x = leaf([1.0, 2.0])
    (g,) = ng.autograd.grad(x, x, grad_outputs=ng.tensor([5.0, 7.0]))
    assert_allclose(g.numpy(), [5.0, 7.0])
    y = leaf(2.0)
    y.backward()
    assert y.grad.item() == 1.0


# ---------------------------------------------------------------------------------------- aliasing


def test_gradients_do_not_share_memory_with_each_other_or_the_seed() -> None:
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = ng.tensor([10.0, 20.0])
    (a + b).backward(seed)
    a.grad.zero_()
    assert_allclose(b.grad.numpy(), [10.0, 20.0])
    assert_allclose(seed.numpy(), [10.0, 20.0])
    (a + b).backward(seed)
    assert_allclose(a.grad.numpy(), [10.0, 20.0])
    assert_allclose(b.grad.numpy(), [20.0, 40.0])
    assert_allclose(seed.numpy(), [10.0, 20.0])


def test_numpy_seed_is_not_kept() -> None:
    x = leaf([1.0, 2.0])
    seed = np.array([1.0, 1.0])
    (x + 0).backward(seed)
    seed[:] = 99
    assert_allclose(x.grad.numpy(), [1.0, 1.0])


def test_functional_results_are_arrays_of_their_own() -> None:
    f = ng.value_and_grad(lambda x: (x * x).sum())
    (_, first), start = f(np.ones(3)), np.array([1.0, 2.0, 3.0])
    kept = first.copy()
    _, second = f(start)
    assert isinstance(first, np.ndarray)
    assert_allclose(first, kept)
    assert_allclose(second, 2 * start)
    assert not np.shares_memory(first, second)


# -------------------------------------------------------------------------------- numerical rules


@pytest.mark.parametrize("tier", TIERS)
def test_division_backward_divides_twice(tier: str) -> None:
    """``a / b**2`` written as ``(a / b) / b`` neither overflows nor underflows in between."""
    x, y = leaf(1e200), leaf(1e160)
    with ng.configure(tier=tier):
        (x / y).backward()
        assert_allclose(y.grad.item(), -1e-120)
        assert_allclose(x.grad.item(), 1e-160)


@pytest.mark.parametrize("tier", TIERS)
def test_generated_code_has_no_fast_mathematics(tier: str) -> None:
    with ng.configure(tier=tier), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = ng.tensor([np.nan, np.inf, 1.0])
        assert ng.isnan(x * 2 + 1).tolist() == [True, False, False]
        assert ng.isfinite(x * 2 + 1).tolist() == [False, False, True]
        assert np.isnan((x - x).numpy()).tolist() == [True, True, False]
        y = ng.tensor([1.0, 3.0])
        assert ((y + 1e16) - 1e16).tolist() == [0.0, 4.0]
        assert (1 / (y * -0.0)).tolist() == [-np.inf, -np.inf]
        assert (x != x).tolist() == [True, False, False]


@pytest.mark.parametrize("tier", TIERS)
def test_underflow_and_overflow_in_backward_are_silent(tier: str) -> None:
    with ng.configure(tier=tier), warnings.catch_warnings():
        warnings.simplefilter("error")
        x = leaf([1e-200, 1e200, 0.0])
        (ng.sqrt(x)).sum().backward()
        assert x.grad.numpy()[2] == np.inf
        y = leaf([1e-300])
        (1 / y).sum().backward()
        assert y.grad.numpy()[0] == -np.inf


@pytest.mark.parametrize("tier", TIERS)
def test_zero_cotangent_contributes_exactly_zero(tier: str) -> None:
    x = leaf([0.0, 4.0])
    with ng.configure(tier=tier):
        ng.sqrt(x).backward(ng.tensor([0.0, 1.0]))
        assert_allclose(x.grad.numpy(), [0.0, 0.25])


def test_unused_elements_of_a_singular_result_do_not_leak() -> None:
    x = leaf([0.0, 4.0])
    ng.sqrt(x)[1].backward()
    assert_allclose(x.grad.numpy(), [0.0, 0.25])


# -------------------------------------------------------------------------------- random numbers


def test_random_draws_are_recorded_once_and_replayed() -> None:
    ng.manual_seed(11)
    x = leaf(np.ones(1000))
    noise = ng.randn(1000)
    y = (x * noise).sum()
    y.backward()
    assert_allclose(x.grad.numpy(), noise.numpy(), rtol=0)
    assert_allclose(y.item(), noise.numpy().sum(), rtol=1e-12)


def test_seeded_draws_repeat_and_successive_draws_differ() -> None:
    def draws() -> list[Any]:
        ng.manual_seed(4)
        return [ng.rand(5).tolist(), ng.rand(5).tolist(), ng.randn(2, 3).tolist()]

    first = draws()
    assert first == draws()
    assert first[0] != first[1]
    ng.manual_seed(5)
    assert ng.rand(5).tolist() != first[0]


def test_distributions_of_random_draws() -> None:
    ng.manual_seed(0)
    uniform, normal = ng.rand(20_000).numpy(), ng.randn(20_000).numpy()
    assert uniform.min() >= 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01 and abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1) < 0.03


# ----------------------------------------------------------------------------------------- complex


def test_complex_gradient_is_the_descent_direction() -> None:
    z = ng.tensor(3 + 4j, requires_grad=True)
    (abs(z) ** 2).backward()
    assert_allclose(z.grad.item(), 6 + 8j)


def test_complex_to_real_edge_keeps_the_real_part() -> None:
    x = leaf([1.0, 2.0])
    z = x * (1 + 2j)
    abs(z).sum().backward()
    assert x.grad.dtype == np.float64
    assert_allclose(x.grad.numpy(), [np.sqrt(5.0)] * 2)
