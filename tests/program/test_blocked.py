"""Loops over blocks of a long dimension compute what the equations compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.backends.cpu import loops as launched
from nbgrad.core.aval import make_aval
from nbgrad.core.check import check
from nbgrad.core.interpret import computed
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Tape
from nbgrad.ops.control.scan import scan
from nbgrad.program import blocked
from nbgrad.program.upright import upright
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.simplify import simplify
from tests.support.differential import as_list, with_gradient

K, N, D = 3, 77, 2


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of few rows, of arrays of any size."""
    monkeypatch.setattr(blocked, "LEAST", 1)
    monkeypatch.setattr(blocked, "BYTES", 1)
    monkeypatch.setattr(blocked, "SHORTEST", 16)


def mixture(x: Any, means: Any, w: Any) -> Any:
    gaps = x - means[:, None, :]
    q = ng.tanh(gaps @ w) * 0.5 + gaps
    terms = -(q * q).sum(-1)
    top = terms.max(0)
    return (ng.log(ng.exp(terms - top).sum(0)) + top).sum()


def regression(x: Any, means: Any, w: Any) -> Any:
    """The dimension is summed over in products, and is in two operands."""
    y = ng.tanh(x @ w[0]) * x
    return (y.T @ ng.sin(x)).sum() + (y * y[:, :1]).sum()


def turned(x: Any, means: Any, w: Any) -> Any:
    """It comes last, and others are put together in one dimension."""
    y = (w @ x.T).reshape(K * D, -1)
    return ng.exp(-y * y).sum() + ng.where(y > 0.0, y, 2.0 * y).mean()


def each(x: Any, means: Any, w: Any) -> Any:
    """What is asked for is there for each row."""
    y = ng.tanh(x @ w[0]) @ w[1]
    return ((y @ w[2]) ** 2).sum(-1), (y @ w[1]).sum(0)


def normalized(x: Any, means: Any, w: Any) -> Any:
    """A sum over all rows is read by each row."""
    y = ng.exp(x @ w[0])
    return ((y / y.sum(0)) @ w[1]).sum()


def tape_of(f: Any, n: int) -> Tape:
    inputs = [placeholder(make_aval(s, np.dtype("f8"))) for s in ((n, D), (K, D), (K, D, D))]
    found = as_list(f(*map(Tensor, inputs)))
    return upright(simplify(linearize([y._node for y in found], inputs)[0]))


def loops(tape: Tape) -> int:
    return sum(eqn.prim is scan for eqn in tape.eqns)


@pytest.mark.parametrize("n", [N, 80])
@pytest.mark.parametrize("derive", [False, True])
@pytest.mark.parametrize("f", [mixture, regression, turned, each])
def test_blocks_compute_the_same(f: Any, derive: bool, n: int, small: None) -> None:
    tape = tape_of(with_gradient(f) if derive and f is not each else f, n)
    found = check(blocked.blocked(tape))
    assert loops(found) == 1
    rng = np.random.default_rng(1)
    args = [rng.normal(size=v.aval.shape) for v in tape.inputs]
    for a, b in zip(computed(found, args), computed(tape, args), strict=True):
        assert_allclose(a, b, 1e-12, 1e-12)


def test_what_needs_all_rows_is_left_as_it_is(small: None) -> None:
    tape = tape_of(with_gradient(normalized), N)
    assert blocked.blocked(tape) is tape


def test_what_has_no_kernel_is_in_no_loop(small: None) -> None:
    """Else the loop would be a call of Python for each block."""
    tape = tape_of(lambda x, means, w: ng.abs((x * 1j) @ w[0] @ w[1]).sum(), N)
    assert blocked.blocked(tape) is tape


def test_numbers_stay_numbers(small: None) -> None:
    """A Python number does not widen what it meets, in the loop either."""
    rng = np.random.default_rng(2)
    x, w = (ng.tensor(rng.normal(size=s).astype("f4")) for s in ((N, D), (D, D)))
    w.requires_grad = True
    loss = lambda w, by: (ng.tanh(x @ w * by) ** 2).sum()
    with ng.configure(tier="fused"):
        value = loss(w, 0.3)
        value.backward()
    assert value.dtype == np.float32
    wanted = np.asarray(ng.grad(loss)(w.detach().numpy().astype("f8"), 0.3))
    assert_allclose(w.grad.numpy(), wanted, 1e-4)


def test_what_lies_between_products_is_not_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """And runs, which read nothing of one another, are shared by threads."""
    groups, apart = [], launched._apart
    monkeypatch.setattr(launched, "_apart", lambda *a: groups.append(a[-1]) or apart(*a))
    rng = np.random.default_rng(3)
    args = tuple(rng.normal(size=s) for s in ((8_300, 8), (4, 1, 8), (4, 8, 8)))
    loss = lambda x, v, w: (ng.tanh((x - v) @ w) ** 2).sum()
    derive = ng.jit(ng.value_and_grad(loss, argnums=(1, 2)))
    with ng.configure(deterministic=True):
        found = derive(*args)
    assert derive.stats(*args)["arena_bytes"] < 4 * args[0].nbytes and groups[0] > 1
    before = ng.get_num_threads()
    try:
        ng.set_num_threads(2)
        for a, b in zip(derive(*args)[1], found[1], strict=True):
            assert_array_equal(a, b)
    finally:
        ng.set_num_threads(before)
    value, grads = ng.value_and_grad(loss, argnums=(0, 1, 2))(*args)
    assert_allclose(found[0], value, 1e-12)
    for a, b in zip(found[1], grads[1:], strict=True):
        assert_allclose(a, b, 1e-9, 1e-9)
