"""Loops as steps of programs, shown by a scratch ``scan``: an operation with a tape as its param.

It has several results, is differentiated by transforms of its body, batched by ``vmap`` of it, and
runs in Python, on blocks and as one instruction of a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.backends.reference import ReferenceProgram
from nbgrad.core.aval import make_aval, several
from nbgrad.core.check import check
from nbgrad.core.interpret import computed, inline
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.primitive import Rules
from nbgrad.core.results import SeveralResults
from nbgrad.core.tape import Body, Tape
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Repeat, Rounds
from nbgrad.program.loops import Loop
from nbgrad.program.program import make_program
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.jvp import jvp
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.trace import trace
from nbgrad.transforms.vjp import vjp
from nbgrad.transforms.vmap import vmap

Array = np.ndarray[Any, Any]


def row(aval: Any) -> Any:
    return make_aval(aval.shape[1:], aval.dtype)


def _prepare(xs: Any, params: Any) -> Any:
    rounds, tape = params["rounds"], params["body"].tape
    rows = rounds.constants + rounds.carry
    given = [x.aval if k < rows else row(x.aval) for k, x in enumerate(xs)]
    assert given == [v.aval for v in tape.inputs]
    outs = [a.aval for a in tape.outputs]
    assert outs[: rounds.carry] == given[rounds.constants : rows]
    stacks = [make_aval((rounds.count, *a.shape), a.dtype) for a in outs[rounds.carry :]]
    return xs, several(*outs[: rounds.carry], *stacks), ()


def _evaluate(*xs: Any, body: Body, rounds: Rounds) -> Any:
    rows = rounds.constants + rounds.carry
    constants, carry, stacks = xs[: rounds.constants], xs[rounds.constants : rows], xs[rows:]
    found: list[Any] = [None] * rounds.count
    order = range(rounds.count)
    for k in reversed(order) if rounds.reverse else order:
        outs = computed(body.tape, [*constants, *carry, *(x[k] for x in stacks)])
        carry, found[k] = outs[: rounds.carry], outs[rounds.carry :]
    return (*carry, *(np.stack(ys) for ys in zip(*found, strict=True)))


def bound(f: Callable[..., Any], xs: list[Node], rounds: Rounds) -> Any:
    """Scan *f*, of so many nodes, over *xs*; what it reads beside these are more constants."""
    rows = rounds.constants + rounds.carry
    traced = trace(f, [x.aval if k < rows else row(x.aval) for k, x in enumerate(xs)])
    tape, extra = traced.tape, len(traced.constants)
    if extra:
        tape = Tape((*tape.inputs[-extra:], *tape.inputs[:-extra]), tape.eqns, tape.outputs)
    rounds = Rounds(rounds.constants + extra, rounds.carry, rounds.count, rounds.reverse)
    return scan_p(*traced.constants, *xs, body=Body(simplify(tape)), rounds=rounds)


def _vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> Any:
    """Run again keeping each carry, then backwards through the derivative of the body."""
    rounds, tape = params["rounds"], params["body"].tape
    n, c, rows = rounds.constants, rounds.carry, rounds.constants + rounds.carry
    cts = [materialize(0.0 if ct is None else ct, y.aval) for ct, y in zip(cts, ys, strict=True)]

    def keeping(*nodes: Node) -> Any:
        return [*inline(tape, nodes)[:c], *nodes[n:rows]]

    kept = bound(keeping, list(xs), rounds)[c:]
    back, extra = vjp(tape, tape.inputs)

    def backwards(*nodes: Node) -> Any:
        constants, totals, of_carry = nodes[:n], nodes[n : 2 * n], nodes[2 * n : 2 * n + c]
        carry, rest = nodes[2 * n + c : 2 * n + 2 * c], nodes[2 * n + 2 * c :]
        given, of_rows = rest[: len(xs) - rows], rest[len(xs) - rows :]
        found = inline(back, [*constants, *carry, *given, *of_carry, *of_rows, *extra])
        sums = [a + b for a, b in zip(totals, found[:n], strict=True)]
        return [*sums, *found[n:]]

    zeros = [materialize(0.0, x.aval) for x in xs[:n]]
    stacks = [*kept, *xs[rows:], *cts[c:]]
    again = Rounds(n, n + c, rounds.count, not rounds.reverse)
    found = bound(backwards, [*xs[:n], *zeros, *cts[:c], *stacks], again)
    return found


def _jvp(ts: Any, ys: Any, xs: Any, params: Any) -> Any:
    rounds, tape = params["rounds"], params["body"].tape
    n, c = rounds.constants, rounds.carry
    ts = [materialize(0.0 if t is None else t, x.aval) for t, x in zip(ts, xs, strict=True)]
    both, extra = jvp(tape, tape.inputs)
    split = n + c

    def paired(*nodes: Node) -> Any:
        k = len(nodes) // 2
        x = [*nodes[:n], *nodes[2 * n : 2 * n + c], *nodes[2 * split : k + split]]
        t = [*nodes[n : 2 * n], *nodes[2 * n + c : 2 * split], *nodes[k + split :]]
        found = inline(both, [*x, *t, *extra])
        half = len(found) // 2
        return [*found[:c], *found[half : half + c], *found[c:half], *found[half + c :]]

    given = [*xs[:n], *ts[:n], *xs[n:split], *ts[n:split], *xs[split:], *ts[split:]]
    found = bound(paired, given, Rounds(2 * n, 2 * c, rounds.count, rounds.reverse))
    rest = (len(found) - 2 * c) // 2
    return (*found[c : 2 * c], *found[2 * c + rest :])


def _batch(prim: Any, xs: Any, mapped: Any, params: Any, size: int) -> Any:
    from nbgrad.ops.kinds.batching import all_stacked, moved

    rounds = params["rounds"]
    rows = rounds.constants + rounds.carry
    tape, constants, flags = vmap(params["body"].tape, size, (True,) * len(xs))
    assert all(flags) and not constants
    given = [
        x if k < rows else moved(x, 0, 1) for k, x in enumerate(all_stacked(xs, mapped, size))
    ]
    found = prim(*given, body=Body(tape), rounds=rounds)
    return tuple([y if k < rounds.carry else moved(y, 1, 0) for k, y in enumerate(found)])


scan_p = SeveralResults(
    name="scratch_scan",
    kind="opaque",
    evaluate=_evaluate,
    prepare=_prepare,
    rules=Rules(_vjp, _jvp, _batch),
    lower=Repeat(lambda params: params["rounds"]),
    grad_name="ScratchScan",
    doc="A loop.",
    registered=False,
)


def scan(f: Any, init: Any, xs: Any, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """``f(carry, x) -> (carry, y)`` on tensors, over the rows of *xs*."""
    carry, stack = (
        ng.tensor(a)._node if not isinstance(a, Tensor) else a._node for a in (init, xs)
    )
    rounds = Rounds(0, 1, stack.shape[0], reverse)
    outs = bound(lambda c, x: f(Tensor(c), Tensor(x)), [carry, stack], rounds)
    return Tensor(outs[0]), Tensor(outs[1])


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
