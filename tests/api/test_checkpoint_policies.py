"""``checkpoint`` as a function of functions, and policies that keep values on the way."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import nbgrad as ng

keep = ng.checkpoint_policies
X = np.array([0.3, 0.8, 1.1])


def wave(x: Any) -> Any:
    return np.exp(np.sin(x)).sum()


again = ng.checkpoint(wave)


def changing() -> tuple[Any, list[float]]:
    """A function that reads a number of Python's, which tells a value that is kept from one made again."""
    k = [1.0]
    return lambda x: np.exp(ng.checkpoint_name(np.sin(x) * k[0], "sine")).sum(), k


def test_without_arguments_it_is_the_checkpointed_function() -> None:
    expected = ng.grad(wave)(X)
    np.testing.assert_allclose(ng.grad(again)(X), expected)
    np.testing.assert_allclose(ng.jit(ng.grad(again))(X), expected)
    np.testing.assert_allclose(ng.grad(pickle.loads(pickle.dumps(again)))(X), expected)
    np.testing.assert_allclose(ng.hessian(again)(X), ng.hessian(wave)(X))
    x = ng.tensor(X, requires_grad=True)
    again(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), expected)
    np.testing.assert_allclose(ng.checkpoint(wave, X).item(), wave(X))


def test_it_decorates_with_and_without_options() -> None:
    @ng.checkpoint
    def f(x: Any, scale: float = 1.0) -> Any:
        return scale * wave(x)

    @ng.checkpoint(policy=keep.everything_saveable)
    def g(x: Any, scale: float = 1.0) -> Any:
        return scale * wave(x)

    for made in (f, g):
        np.testing.assert_allclose(ng.grad(made)(X, scale=2.0), 2 * ng.grad(wave)(X))


@pytest.mark.parametrize(
    ("policy", "again"),
    [
        (None, True),
        (keep.nothing_saveable, True),
        (keep.everything_saveable, False),
        (keep.save_only_these_names("sine"), False),
        (keep.save_only_these_names("cosine"), True),
        (keep.save_any_names_but_these("sine"), True),
        (keep.save_any_names_but_these("cosine"), False),
        (keep.save_anything_except_these_names("sine"), False),  # it has the exponential
        (
            keep.save_from_both_policies(keep.dots_saveable, keep.save_only_these_names("sine")),
            False,
        ),
        (lambda made: made.operation == "multiply", False),
    ],
    ids=list("abcdefghij"),
)
def test_what_the_policy_keeps_is_not_computed_again(policy: Any, again: bool) -> None:
    f, k = changing()
    x = ng.tensor(X, requires_grad=True)
    y = ng.checkpoint(f, x, policy=policy)
    k[0] = 2.0
    y.backward()
    expected = np.exp((2.0 if again else 1.0) * np.sin(X)) * 2.0 * np.cos(X)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize("policy", [keep.dots_saveable, keep.dots_with_no_batch_dims_saveable])
def test_products_are_kept_by_kind(policy: Any) -> None:
    asked: dict[str, bool] = {}

    def watched(made: Any) -> bool:
        asked[made.operation] = policy(made)
        return asked[made.operation]

    a = np.arange(9.0).reshape(3, 3) / 9
    f = lambda a, x: np.tanh(a @ np.sin(a @ x)).sum()
    found = ng.grad(ng.checkpoint(f, policy=watched), (0, 1))(a, X)
    for got, expected in zip(found, ng.grad(f, (0, 1))(a, X), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13)
    kept = {name for name, flag in asked.items() if flag}
    assert kept and not kept & {"sin", "tanh", "sum"}


def test_a_policy_inside_transforms_and_loops() -> None:
    f = ng.checkpoint(wave, policy=keep.everything_saveable)
    expected = ng.grad(wave)(X)
    np.testing.assert_allclose(ng.jit(ng.grad(f))(X), expected)
    np.testing.assert_allclose(ng.hessian(f)(X), ng.hessian(wave)(X))
    np.testing.assert_allclose(ng.jvp(f, (X,), (X,))[1], expected @ X)
    np.testing.assert_allclose(ng.vmap(ng.grad(f))(np.stack([X, X]))[1], expected)
    nested = ng.checkpoint(lambda x: f(2 * x), policy=keep.everything_saveable)
    np.testing.assert_allclose(ng.grad(nested)(X), 2 * ng.grad(wave)(2 * X))


def test_errors() -> None:
    with pytest.raises(TypeError, match="function must be a function"):
        ng.checkpoint(3)
    with pytest.raises(TypeError, match="policy must be a function"):
        ng.checkpoint(wave, policy="all")
    with pytest.raises(TypeError, match="one that makes policies"):
        ng.grad(ng.checkpoint(wave, policy=keep.save_only_these_names))(X)
    with pytest.raises(TypeError, match="must be a string"):
        ng.checkpoint_name(1.0, 2)
    with pytest.raises(ValueError, match="use_reentrant"):
        ng.checkpoint(wave, use_reentrant=True)


def test_a_function_that_does_another_thing_the_second_time() -> None:
    sizes = [1, 2]
    f = lambda x: sum((np.sin(x * k) for k in range(sizes.pop(0))), 0.0 * x).sum()
    x = ng.tensor(X, requires_grad=True)
    y = ng.checkpoint(f, x, policy=keep.everything_saveable)
    with pytest.raises(ng.errors.AutogradError, match="must do the same each time"):
        y.backward()


@pytest.mark.parametrize("policy", [keep.everything_saveable, keep.dots_saveable, None])
def test_a_loop_inside_which_has_several_results(policy: Any) -> None:
    def f(x: Any) -> Any:
        last, sums = ng.scan(lambda c, r: (c * np.sin(r), c + r), x[0], x)
        return last + np.cos(sums).sum()

    expected = ng.grad(f)(X)
    np.testing.assert_allclose(ng.grad(ng.checkpoint(f, policy=policy))(X), expected, rtol=1e-13)
