"""Gradients of several passes, in several threads, add up in one buffer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

COUNT = 8


def together(work: Callable[[int], None]) -> None:
    """Run *work* in several threads that start at the same moment; raise what they raised."""
    start, errors = threading.Barrier(COUNT), []

    def run(k: int) -> None:
        try:
            start.wait(30)
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
def test_threads_accumulate_into_one_leaf(tier: str) -> None:
    w = ng.tensor(np.ones(50), requires_grad=True)
    rounds = 60

    def work(k: int) -> None:
        for _ in range(rounds):
            (w * w * float(k + 1)).sum().backward()

    with ng.configure(tier=tier):
        together(work)
    total = 2.0 * rounds * sum(range(1, COUNT + 1))
    assert_allclose(w.grad.numpy(), np.full(50, total), rtol=0)


def test_threads_demand_one_pending_graph() -> None:
    """All see the value; none builds a program of operands that another has dropped."""
    for n in range(2, 22):
        x = ng.tensor(np.arange(float(n)))
        pending = x
        for _ in range(20):
            pending = ng.sin(pending) + x
        seen: list[Any] = [None] * COUNT

        def work(k: int, y: Any = pending, out: list[Any] = seen) -> None:
            out[k] = (y * 1.0).numpy()

        together(work)
        expected = np.arange(float(n))
        for _ in range(20):
            expected = np.sin(expected) + np.arange(float(n))
        for found in seen:
            assert_allclose(found, expected, rtol=1e-12)


def test_threads_differentiate_graphs_with_a_common_part() -> None:
    x = ng.tensor(np.linspace(0.1, 1.0, 10), requires_grad=True)
    shared = ng.exp(x) * x
    results: list[Any] = [None] * COUNT

    def work(k: int) -> None:
        y = (shared * float(k + 1)).sum()
        (results[k],) = ng.autograd.grad(y, x, retain_graph=True)

    together(work)
    values = np.linspace(0.1, 1.0, 10)
    for k, found in enumerate(results):
        assert_allclose(found.numpy(), (k + 1) * np.exp(values) * (1 + values), rtol=1e-12)


@pytest.mark.skipif(ng.config.settings.device is not None, reason="looks at the host's memory")
def test_buffer_of_a_gradient_is_reused_until_somebody_sees_it() -> None:
    x = ng.tensor(np.ones(3), requires_grad=True)
    (x * x).sum().backward()
    gradient, buffer = x.grad, x.grad._node.value.ctypes.data
    (x * x).sum().backward()
    assert x.grad is gradient and x.grad._node.value.ctypes.data == buffer
    view = x.grad.numpy()
    (x * x).sum().backward()
    assert x.grad is gradient
    assert_allclose(view, [4.0, 4.0, 4.0])
    assert_allclose(x.grad.numpy(), [6.0, 6.0, 6.0])


def _behind_no_grad(x):
    with ng.no_grad():
        return x * 2.0


READS = {
    "no_grad": _behind_no_grad,
    "detach": lambda x: (x * 2.0).detach(),
    "comparison": lambda x: ng.where(x > 0, 1.0, 2.0),
    "leaf of its own": lambda x: (x * 2.0).detach().requires_grad_(),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("hooked", [False, True], ids=["program", "nodes"])
def test_what_is_only_read_has_no_gradient_not_a_zero_one(name, hooked):
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    w = ng.tensor([3.0, 4.0], requires_grad=True)
    if hooked:
        w.register_hook(lambda g: g)
    for computed in (False, True):
        y = READS[name](x)
        if computed:
            y.detach().numpy()
        (y * w).sum().backward()
        assert x.grad is None
        assert w.grad.tolist() == y.tolist()
        w.grad = None
        loss = (READS[name](x) * w).sum()
        with pytest.raises(RuntimeError, match="not have been used"):
            ng.autograd.grad(loss, [w, x], retain_graph=True)
        assert ng.autograd.grad(loss, [w, x], allow_unused=True)[1] is None
        loss = (READS[name](x) * w).sum()
        found = ng.autograd.grad(loss, [x, w], allow_unused=True, create_graph=True)
        assert found[0] is None and found[1] is not None


def test_steps_in_place_do_not_lead_back_to_what_the_leaf_was():
    w = ng.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(5):
        (w * w).sum().backward()
        with ng.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
    before = w.tolist()
    (w * w).sum().backward()
    assert w.grad.tolist() == [2.0 * v for v in before]


def test_a_gradient_that_is_held_stays_when_the_next_is_recorded() -> None:
    x = ng.ones(2, requires_grad=True)
    y = x * x
    y.sum().backward(retain_graph=True)
    held = x.grad
    y.sum().backward(retain_graph=True)
    assert x.grad is held and held.tolist() == [4.0, 4.0]
    y.sum().backward(create_graph=True)
    assert x.grad is not held and held.tolist() == [4.0, 4.0] and x.grad.tolist() == [6.0, 6.0]
