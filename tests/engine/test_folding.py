"""Loops that are folded while they are recorded: the same values, and derivatives, as if they were not.

What is compared runs on NumPy's references, so values have the same bits.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.core.linearize import build_tape, capture
from nbgrad.engine import flushing

X = np.linspace(0.5, 1.5, 6)
ROWS = np.random.default_rng(3).normal(size=(90, 3))
LIMIT = 160
Held = list[Any]


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The steps of each loop that took the place of nodes."""
    made: list[int] = []

    def fold(*args: Any, _original: Any = flushing.fold) -> Any:
        found = _original(*args)
        if found is not None:
            made.append(len(args[1].inside))
        return found

    monkeypatch.setattr(flushing, "fold", fold)
    with ng.configure(tier="reference", max_pending=LIMIT):
        yield made


def unfolded(f: Callable[..., Any], x: Any, held: Held) -> Any:
    with ng.configure(tier="reference", max_pending=10**9):
        return f(x, held)


def numbers(x: Any, held: Held) -> Any:
    y, a, b = x[0] * 1.0, x[1] * 1.0, x[2] * 1.0
    for k in range(250):
        y = np.sin(y) * a + b * (0.01 * k)
    return y


def two_steps_back(x: Any, held: Held) -> Any:
    a, b = x[0] * 1.0, x[1] * 1.0
    for _ in range(250):
        a, b = b, np.sin(a) * 0.3 + b * 0.5
    return a + b


def leapfrog(x: Any, held: Held) -> Any:
    """The second operation reads what the first gave, and both are held while the loop goes on."""
    q, p = x[:3] * 1.0, x[3:] * 0.1
    for _ in range(250):
        p = p - 0.1 * np.sin(q)
        q = q + 0.1 * p
    return (q * p).sum()


def rows(x: Any, held: Held) -> Any:
    given, h = ng.tensor(ROWS), x[:3] * 1.0
    for k in range(len(ROWS)):
        h = np.tanh(h * x[3:] + given[k] + ROWS[k])
    return (h * h).sum()


def kept_now_and_then(x: Any, held: Held) -> Any:
    y = x * 1.0
    for k in range(300):
        y = np.sin(y) + 0.3 * y
        if k % 120 == 119:
            held.append(y)
    return y.sum() + sum((h * h).sum() for h in held)


def chosen(x: Any, held: Held) -> Any:
    """No gradient flows through a comparison, as it does not through what is not recorded."""
    y = x * 1.0
    for _ in range(250):
        y = np.where(y > 0.5, y * 0.7, y * y + 0.4)
    return y.sum()


def descent(x: Any, held: Held) -> Any:
    """Gradients of steps, on the graph: each is by a node that is held while it is made."""
    w = x * 1.0
    for _ in range(60):
        loss = ((np.sin(w) - x * 0.3) ** 2).sum()
        (g,) = ng.autograd.grad(loss, [w], create_graph=True)
        w = w - 0.1 * g
    return (w * w).sum()


def beyond_the_dtype(x: Any, held: Held) -> Any:
    """A number that single precision has not is infinite there, and no warning."""
    y = x.astype(np.float32)
    for k in range(250):
        y = np.tanh(y) / 1e39 + np.sin(y) + k
    return y.sum()


def all_kept(x: Any, held: Held) -> Any:
    y = x[0] * 1.0
    for _ in range(250):
        y = np.sin(y) + 0.3 * y * x[1]
        held.append(y)
    return (ng.stack(held[::10]) * 0.1).sum() + y


def partly_unrecorded(x: Any, held: Held) -> Any:
    y = x * 1.0
    for _ in range(250):
        with ng.no_grad():
            scale = np.exp(-y)
        y = y * scale + np.sin(y)
    return y.sum()


def read_now_and_then(x: Any, held: Held) -> Any:
    y = x * 1.0
    for k in range(400):
        y = np.sin(y) + 0.3 * y
        if k % 130 == 0:
            assert y.sum().item() < 100
    return y.sum()


def counted(x: Any, held: Held) -> Any:
    y, n = x.astype(np.float32), ng.tensor(0)
    for _ in range(250):
        n = n + 1
        y = np.sin(y) + y / n
    return y.sum()


def two_loops(x: Any, held: Held) -> Any:
    y = x[0] * 1.0
    for _ in range(250):
        y = np.sin(y) * 0.9
    z = y * x[1]
    for _ in range(250):
        z = np.cos(z) * 0.8 + y
    return z


FOLDED = [numbers, two_steps_back, leapfrog, rows, kept_now_and_then, read_now_and_then, counted]
FOLDED += [two_loops, chosen, descent, beyond_the_dtype]
LOOPS = [*FOLDED, all_kept, partly_unrecorded]


@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_a_folded_loop_is_what_it_was(f: Callable[..., Any], folds: list[int]) -> None:
    x, z = (ng.tensor(X, requires_grad=True) for _ in range(2))
    held: Held = []
    theirs: Held = []
    y, expected = f(x, held), unfolded(f, z, theirs)
    assert (f in FOLDED) == bool(folds)
    assert_array_equal(y.detach().numpy(), expected.detach().numpy())
    rtol = 1e-5 if y.dtype == np.float32 else 1e-12
    given = ng.autograd.grad(y, [x, *held], retain_graph=True)
    wanted = ng.autograd.grad(expected, [z, *theirs], retain_graph=True)
    for mine, other in zip(given, wanted, strict=True):
        assert_allclose(mine.numpy(), other.detach().numpy(), rtol=rtol, atol=1e-14)
    y.backward()
    assert_allclose(x.grad.numpy(), wanted[0].detach().numpy(), rtol=rtol, atol=1e-14)
    with pytest.raises(RuntimeError, match=r"second time|freed"):
        y.backward()


@pytest.mark.parametrize("f", [two_steps_back, kept_now_and_then], ids=lambda f: f.__name__)
def test_second_derivatives_of_folded_loops(f: Callable[..., Any], folds: list[int]) -> None:
    found = []
    for limit in (LIMIT, 10**9):
        x = ng.tensor(X, requires_grad=True)
        with ng.configure(tier="reference", max_pending=limit):
            (g,) = ng.autograd.grad(f(x, []), [x], create_graph=True)
            found += ng.autograd.grad((g * g).sum(), [x])
    assert folds
    assert_allclose(found[0].numpy(), found[1].numpy(), rtol=1e-10, atol=1e-12)


def test_the_graph_of_a_long_loop_is_short(folds: list[int]) -> None:
    x = ng.tensor(X, requires_grad=True)
    sizes = []
    for steps in (400, 800):
        y = x * 1.0
        for k in range(steps):
            y = np.sin(y) * 0.9 + 0.01 * k
        sizes.append(len(capture([y._node], differentiate=True).nodes))
        assert sum(folds) > 3 * steps - 3 * LIMIT
        folds.clear()
    assert sizes[1] - sizes[0] < 400 / LIMIT * 20  # the last steps, and a few for each fold


def test_folds_are_one_loop_in_the_derivative(folds: list[int]) -> None:
    x = ng.tensor(X, requires_grad=True)
    y = x * 1.0
    for k in range(500):
        y = np.sin(y) * 0.9 + 0.01 * k
    assert len(folds) > 3
    cap = capture([y._node], differentiate=True)
    tape, _ = build_tape(cap, [y._node])
    from_folds = ng.transforms.reroll.with_loops(tape, tape.inputs)  # type: ignore[attr-defined]
    loops = [eqn for eqn in from_folds.tape.eqns if eqn.prim.name == "scan"]
    assert len(loops) == 1
    assert loops[0].params["rounds"].count > 400


def test_what_is_looked_at_is_not_folded(folds: list[int]) -> None:
    seen = []
    x = ng.tensor(X, requires_grad=True)
    y = x * 1.0
    for k in range(250):
        y = np.sin(y) * 0.9 + 0.1
        if k % 5 == 0:
            y.register_hook(lambda g: seen.append(g))
    y.sum().backward()
    assert len(seen) == 50
    assert not folds


def test_a_graph_that_was_consumed_stays_so(folds: list[int]) -> None:
    x = ng.tensor(X, requires_grad=True)
    y = x * 1.0
    for _ in range(20):
        y = np.sin(y) * y
    y.sum().backward()
    for _ in range(250):
        y = np.sin(y) * 0.9 + 0.1
    with pytest.raises(RuntimeError, match=r"second time|freed"):
        y.sum().backward()


def test_a_capture_from_before_a_fold_says_what_it_saw(
    folds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = []

    def fold(cap: Any, plan: Any, _original: Any = flushing.fold) -> Any:
        other = capture([cap.nodes[0]], differentiate=True)
        before = other.signatures()
        found = _original(cap, plan)
        assert other.signatures() == before != [node.sig for node in other.nodes]
        assert len(build_tape(other, [other.nodes[0]])[0]) == len(other.nodes)
        stale.append(other)
        return found

    monkeypatch.setattr(flushing, "fold", fold)
    x = ng.tensor(X, requires_grad=True)
    y = x * 1.0
    for _ in range(250):
        y = np.sin(y) * 0.9 + 0.1
    assert stale


def loop(x: Any) -> Any:
    y = x * 1.0
    for k in range(60):
        y = np.sin(y) * 0.9 + 0.01 * k * x
    return y


def of_graph(differentiate: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    def route() -> Any:
        x = ng.tensor(X, requires_grad=True)
        return differentiate(loop(x).sum(), x)

    return route


def twice(y: Any, x: Any) -> Any:
    (g,) = ng.autograd.grad(y, x, create_graph=True)
    return ng.autograd.grad((g * g).sum(), x)[0].numpy()


def backward(y: Any, x: Any) -> Any:
    y.backward()
    return x.grad.numpy()


ROUTES: dict[str, Callable[[], Any]] = {
    "value": of_graph(lambda y, x: y.item()),
    "backward": of_graph(backward),
    "create_graph": of_graph(twice),
    "grad": lambda: ng.grad(lambda x: loop(x).sum())(X),
    "vjp": lambda: ng.vjp(loop, X)[1](np.ones(6)),
    "jvp": lambda: ng.jvp(loop, (X,), (X,))[1],
    "hvp": lambda: ng.hvp(lambda x: loop(x).sum(), (X,), (X,)),
    "jacobian": lambda: ng.jacobian(loop)(X),
    "jacfwd": lambda: ng.jacfwd(loop)(X),
    "hessian": lambda: ng.hessian(lambda x: loop(x).sum())(X),
    "linearize": lambda: ng.linearize(loop, X)[1](X),
    "jit": lambda: ng.jit(loop)(X),
}


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_whoever_captured_a_graph_that_another_thread_folds_gets_its_numbers(
    route: Callable[[], Any], folds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the other thread went on from it between any capture and what is made of it."""
    with ng.configure(max_pending=10**9):
        wanted = route()

        def meanwhile(roots: Any, *rest: Any, **options: Any) -> Any:
            """Captured between another thread's capture and its fold."""
            begun = []
            for cap in [capture([n]) for n in roots if n.sig is not None and n.value is None]:
                with ng.configure(max_pending=LIMIT):
                    begun.append((cap, flushing._cut(cap).fold if cap.known else None))
            found = capture(roots, *rest, **options)
            for cap, plan in begun:
                if plan is not None and flushing.allowed(cap):
                    flushing.fold(cap, plan)
            return found

        for name, module in list(sys.modules.items()):
            theirs = name.startswith("nbgrad.") and name != flushing.__name__
            if theirs and getattr(module, "capture", None) is capture:
                monkeypatch.setattr(module, "capture", meanwhile)
        for _ in range(2):
            found = route()
            np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-12)
    assert folds or route is ROUTES["jit"]  # what is traced is not folded


def of_rates(x: Any, rates: Any) -> Any:
    y, a = x * 1.0, x[1] * 1.0
    for rate in rates:
        y = np.sin(y) * a + 0.5 * y * rate
    return y.sum()


RATES = np.full(250, 0.7)
CHANGED = [
    np.where(np.arange(250) < 130, 0.7, 0.2),  # from one fold to the next, or within one
    np.where(np.arange(250) < 244, 0.7, 0.2),  # in what is left after the last fold
    np.where(np.arange(250) % 50 < 40, 0.7, -0.3),
    np.linspace(0.1, 0.9, 250),
    np.where(np.arange(250) < 100, 0.0, -0.0),
    np.where(np.arange(250) == 77, np.nan, 0.7),
    np.full(250, 0.3),
]


@pytest.mark.parametrize("other", CHANGED, ids=range(len(CHANGED)))
@pytest.mark.parametrize("first", [True, False])
def test_numbers_that_are_alike_in_all_steps_until_they_are_not(
    other: Any, first: bool, folds: list[int]
) -> None:
    for rates in (RATES, other, RATES, other) if first else (other, RATES, other):
        x, z = (ng.tensor(X, requires_grad=True) for _ in range(2))
        y = of_rates(x, rates.tolist())
        expected: Any = unfolded(lambda z, held, r=rates: of_rates(z, r.tolist()), z, [])  # type: ignore[misc]
        assert_array_equal(y.detach().numpy(), expected.detach().numpy())
        y.backward(), expected.backward()
        assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-12)
    assert folds


def test_numbers_that_are_alike_are_one_constant(folds: list[int]) -> None:
    x = ng.tensor(X, requires_grad=True)
    with ng.configure(max_pending=400):
        for rate in (0.5, 0.3):  # of one graph, and of the next
            y = of_rates(x, [rate] * 380)
    cap = capture([y._node], differentiate=True)
    tape, _ = build_tape(cap, [y._node])
    numbers = dict(zip(tape.inputs, cap.values + cap.scalars, strict=True))
    found = ng.transforms.reroll.with_loops(tape, tape.inputs, numbers=numbers)  # type: ignore[attr-defined]
    (loop,) = [eqn for eqn in found.tape.eqns if eqn.prim.name == "scan"]
    rounds = loop.params["rounds"]
    assert rounds.count > 370
    assert len(loop.inputs) == rounds.constants + rounds.carry  # nothing is read step by step
