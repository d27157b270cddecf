"""Loops as steps of programs, shown by a scratch ``scan``: an operation with a tape as its param.

It (tests/support) has several results, is differentiated by transforms of its body, batched by ``vmap`` of it, and
runs in Python, on blocks and as one instruction of a frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scratch_scan import scan

import nbgrad as ng
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.backends.reference import ReferenceProgram
from nbgrad.core.aval import make_aval
from nbgrad.core.check import check
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Tape
from nbgrad.program.loops import Loop
from nbgrad.program.program import make_program
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.vmap import vmap

# ------------------------------------------------------------------------------------------- tests

RNG = np.random.default_rng(2)
W, H0, XS = RNG.normal(size=(3, 3)) / 2, RNG.normal(size=3), RNG.normal(size=(5, 3))


def step(w: Any) -> Any:
    def f(h: Any, x: Any) -> Any:
        new = ng.tanh(w @ h + x) if isinstance(w, Tensor) else np.tanh(w @ h + x)
        return new, new * x + h

    return f


def unrolled(w: Any, h: Any, xs: Any, reverse: bool = False) -> Any:
    f, ys = step(w), []
    for x in xs[::-1] if reverse else xs:
        h, y = f(h, x)
        ys.append(y)
    return h, np.stack(ys[::-1] if reverse else ys)


def scanned(w: Any, h: Any, xs: Any, reverse: bool = False) -> Any:
    return scan(step(w), h, xs, reverse)


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_of_two_results(tier: str, reverse: bool) -> None:
    w = ng.tensor(W)
    with ng.configure(tier=tier):
        h, ys = scanned(w, H0, XS, reverse)
        expected = unrolled(W, H0, XS, reverse)
        assert_allclose(h.numpy(), expected[0], rtol=1e-12)
        assert_allclose(ys.numpy(), expected[1], rtol=1e-12)


def tape_of(count: int) -> Tape:
    avals = [make_aval(s, np.dtype(float)) for s in ((3, 3), (3,), (count, 3))]
    w, h, xs = map(placeholder, avals)
    h1, ys = scan(step(Tensor(w)), Tensor(h), Tensor(xs))
    return check(linearize([h1._node, ys._node], [w, h, xs])[0])


def test_the_tape_prints_and_two_traces_are_one_signature() -> None:
    tape, other = tape_of(5), tape_of(5)
    assert tape.key() == other.key()
    assert tape.eqns[-1].sig is other.eqns[-1].sig
    text = str(tape)
    assert "scratch_scan" in text and "body:" in text and "tanh" in text
    assert tape_of(4).key() != tape.key()


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_program_is_one_loop(count: int) -> None:
    program = make_program(tape_of(count))
    loops = [s for s in program.steps if isinstance(s, Loop)]
    assert program.stats()["loops"] == len(loops) == (count > 0)
    args = [W, H0, RNG.normal(size=(count, 3))]
    if count:
        assert "scratch_scan, " in program.source() and program.stats()["host_calls"] == 0
        for tier in ("fused", "block"):
            runner = CpuProgram(program, tier)
            for _ in range(2):
                for mine, its in zip(
                    runner.run(args), ReferenceProgram(program.tape).run(args), strict=True
                ):
                    assert_allclose(mine, its, rtol=1e-12)


@pytest.mark.parametrize("tier", ["reference", "fused"])
@pytest.mark.parametrize("reverse", [False, True])
def test_derivatives_of_a_loop(tier: str, reverse: bool) -> None:
    def loss(run: Any, w: Any, h: Any, xs: Any) -> Any:
        last, ys = run(w, h, xs, reverse)
        return (last**2).sum() + (ys**3).sum()

    v = [RNG.normal(size=a.shape) for a in (W, H0, XS)]
    given = (W, H0, XS)
    eps = 1e-6

    def at(s: float) -> Any:
        return loss(unrolled, *(a + s * d for a, d in zip(given, v, strict=True)))

    slope = (at(eps) - at(-eps)) / (2 * eps)
    curve = (at(1e-4) - 2 * at(0) + at(-1e-4)) / 1e-8
    f = lambda w, h, xs: loss(scanned, w, h, xs)
    with ng.configure(tier=tier):
        gradients = ng.grad(f, (0, 1, 2))(*given)
        assert_allclose(
            sum((g * d).sum() for g, d in zip(gradients, v, strict=True)), slope, rtol=1e-7
        )
        tensors = tuple(map(ng.tensor, given))
        directions = tuple(map(ng.tensor, v))
        forward = ng.autograd.functional.jvp(f, tensors, directions)[1]
        assert_allclose(forward.item(), slope, rtol=1e-7)
        product = ng.autograd.functional.hvp(f, tensors, directions)[1]
        second = sum((p.numpy() * d).sum() for p, d in zip(product, v, strict=True))
        assert_allclose(second, curve, rtol=1e-4)
    compiled = ng.jit(ng.grad(f))
    assert_allclose(compiled(*given), gradients[0], rtol=1e-10)
    assert_allclose(compiled(*given), gradients[0], rtol=1e-10)


def test_a_batch_of_loops() -> None:
    tape = tape_of(5)
    batched, constants, flags = vmap(tape, 2, (False, True, True))
    assert flags == (True, True) and not constants
    h, xs = np.stack([H0, -H0]), np.stack([XS, 2 * XS])
    found = CpuProgram(make_program(simplify(batched))).run([W, h, xs])
    for k in range(2):
        expected = unrolled(W, h[k], xs[k])
        for mine, its in zip(found, expected, strict=True):
            assert_allclose(mine[k], its, rtol=1e-12)


def test_what_a_run_leaves_as_it_was_and_what_fails() -> None:
    """A carry that is passed on, a result twice, an index out of bounds in some run."""

    def swap(c: Any, x: Any) -> Any:
        return c, x

    h, ys = scan(swap, H0, XS)
    with ng.configure(tier="fused"):
        assert_allclose(h.numpy(), H0)
        assert_allclose(ys.numpy(), XS)
    table = ng.tensor(np.arange(4.0))

    def pick(c: Any, k: Any) -> Any:
        return c + ng.numpy.take(table, k), c

    with ng.configure(tier="fused"):
        last, _ = scan(pick, np.array(0.0), np.array([1, 3, 2]))
        assert last.item() == 6.0
        last, _ = scan(pick, np.array(0.0), np.array([1, 7, 2]))
        with pytest.raises(IndexError, match="out of bounds"):
            last.item()


def test_a_body_that_numpy_runs_is_run_in_python() -> None:
    def f(c: Any, x: Any) -> Any:
        return c + np.linalg.det(x), c

    mats = RNG.normal(size=(3, 2, 2))
    with ng.configure(tier="fused"):
        last, _ = scan(f, np.array(0.0), mats)
        assert_allclose(last.item(), np.linalg.det(mats).sum())
