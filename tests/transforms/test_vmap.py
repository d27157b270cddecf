"""Batching a tape, by the rules that kinds derive: of every primitive, and of programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from samples import Sample, samples

from nbgrad.backends.reference import ReferenceProgram
from nbgrad.core.aval import make_aval, weak_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.node import placeholder
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.registry import primitives
from nbgrad.core.tape import Tape
from nbgrad.ops.kinds.batching import EACH, FEW
from nbgrad.transforms.vjp import vjp
from nbgrad.transforms.vmap import vmap

load_vocabulary()
Array = np.ndarray[Any, Any]
PRIMITIVES = [p for p in primitives.values() if p.registered]


def run(tape: Tape, constants: Any, args: Any) -> list[Array]:
    return ReferenceProgram(tape).run([*args, *(node.value for node in constants)])


def traced(sample: Sample) -> Tape:
    xs = [placeholder(make_aval(a.shape, a.dtype)) for a in sample.arrays]
    tape, constants = linearize([sample.record(xs)], xs)
    assert not constants
    return tape


def stacks(sample: Sample, size: int) -> list[Array]:
    """Arrays of the same kind: rows of integers and booleans are rotated, numbers scaled a little."""
    found = []
    for k, a in enumerate(sample.arrays):
        if a.dtype.kind in "iub" and k > 0:
            rows = [np.roll(a, j) for j in range(size)]
        elif a.dtype.kind in "fc":
            rows = [a * (1 + 0.01 * j) for j in range(size)]
        else:
            rows = [a] * size
        found.append(np.stack(rows).astype(a.dtype) if size else np.zeros((0, *a.shape), a.dtype))
    return found


def chosen(prim: Primitive) -> list[Sample]:
    found = samples(prim)
    return [s for k, s in enumerate(found) if k < 3 or s.params != found[k - 1].params]


@pytest.mark.parametrize("prim", PRIMITIVES, ids=lambda p: p.name)
def test_a_batch_is_one_after_another(prim: Primitive) -> None:
    """Each operand stacked, and all; also of no elements."""
    for sample in chosen(prim):
        tape = traced(sample)
        n = len(sample.arrays)
        many = stacks(sample, 3)
        alone = [tuple(j == k for j in range(n)) for k in range(n)]
        for mapped in dict.fromkeys([(True,) * n, *alone]):
            batched, constants, flags = vmap(tape, 3, mapped)
            assert flags == (True,)
            args = [
                m if is_m else a for m, a, is_m in zip(many, sample.arrays, mapped, strict=True)
            ]
            (found,) = run(batched, constants, args)
            rows = [
                run(
                    tape,
                    (),
                    [
                        m[j] if is_m else a
                        for m, a, is_m in zip(many, sample.arrays, mapped, strict=True)
                    ],
                )[0]
                for j in range(3)
            ]
            assert_allclose(found, np.stack(rows), rtol=1e-12, atol=1e-12, err_msg=sample.label)
        empty, constants, _ = vmap(tape, 0, (True,) * n)
        (found,) = run(empty, constants, stacks(sample, 0))
        assert found.shape == (0, *tape.outputs[0].aval.shape)


def test_a_product_of_a_sine() -> None:
    """``sin(x) @ w`` of many x and one w: the weights are read once, and derivatives follow."""
    x, w = (
        placeholder(make_aval((3,), np.dtype(float))),
        placeholder(make_aval((3, 2), np.dtype(float))),
    )
    y = primitives["matmul"](primitives["reshape"](primitives["sin"](x), shape=(1, 3)), w)
    tape, _ = linearize([primitives["reshape"](y, shape=(2,))], [x, w])
    batched, constants, flags = vmap(tape, 4, (True, False))
    rng = np.random.default_rng(0)
    many, weights = rng.normal(size=(4, 3)), rng.normal(size=(3, 2))
    assert flags == (True,) and not constants
    assert_allclose(run(batched, constants, [many, weights])[0], np.sin(many) @ weights)
    _, constants, flags = vmap(tape, 4, (False, False))
    assert flags == (False,)
    twice, constants, flags = vmap(vmap(tape, 4, (True, False))[0], 2, (True, True))
    args = [np.stack([many, -many]), np.stack([weights, 2 * weights])]
    expected = np.stack([np.sin(many) @ weights, np.sin(-many) @ (2 * weights)])
    assert_allclose(run(twice, constants, args)[0], expected)


def test_numbers_keep_the_dtype_that_they_took() -> None:
    """A stack of Python numbers beside float32 is float32: they promote nothing."""
    x, number = placeholder(make_aval((3,), np.dtype(np.float32))), placeholder(weak_aval(float))
    tape, _ = linearize([primitives["multiply"](x, number)], [x, number])
    batched, constants, _ = vmap(tape, 2, (False, True))
    found = run(batched, constants, [np.ones(3, np.float32), np.array([2.0, 3.0])])[0]
    assert found.dtype == np.float32
    assert_allclose(found, [[2, 2, 2], [3, 3, 3]])


def test_an_index_out_of_bounds_reads_no_other_row() -> None:
    x, index = (
        placeholder(make_aval((3,), np.dtype(float))),
        placeholder(make_aval((1,), np.dtype(np.int64))),
    )
    tape, _ = linearize([primitives["take"](x, index)], [x, index])
    batched, constants, _ = vmap(tape, 2, (True, True))
    many = np.arange(6.0).reshape(2, 3)
    assert run(batched, constants, [many, np.array([[-1], [0]])])[0].tolist() == [[2.0], [3.0]]
    with pytest.raises(IndexError):
        run(batched, constants, [many, np.array([[3], [0]])])


def test_what_has_no_rule_says_so() -> None:
    prim = Primitive(
        name="unbatched",
        kind="opaque",
        evaluate=lambda x: x,
        prepare=lambda xs, params: (xs, xs[0].aval, ()),
        rules=Rules(),
        lower=None,
        grad_name="Unbatched",
        doc="Nothing.",
        registered=False,
    )
    x = placeholder(make_aval((3,), np.dtype(float)))
    with pytest.raises(NotImplementedError, match="unbatched has no rule for batches"):
        vmap(linearize([prim(x)], [x])[0], 2, (True,))


def differentiable(prim: Primitive) -> bool:
    return prim.vjp is not None and any(a.dtype.kind in "fc" for a in samples(prim)[0].arrays)


@pytest.mark.parametrize("prim", [p for p in PRIMITIVES if p.batch is EACH], ids=lambda p: p.name)
def test_many_one_after_another_are_one_loop(prim: Primitive) -> None:
    """Also where some operands are the same for all; and its derivative is a loop."""
    sample = next(s for s in samples(prim) if all(a.size for a in s.arrays))
    tape, n, size = traced(sample), len(sample.arrays), FEW + 3
    many = stacks(sample, size)
    for mapped in dict.fromkeys([(True,) * n, (True, *(False,) * (n - 1))]):
        batched, constants, _ = vmap(tape, size, mapped)
        assert len(batched) < 4
        args = [m if on else a for m, a, on in zip(many, sample.arrays, mapped, strict=True)]
        (found,) = run(batched, constants, args)
        for j in range(size):
            row = [m[j] if on else a for m, a, on in zip(many, sample.arrays, mapped, strict=True)]
            assert_allclose(found[j], run(tape, (), row)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("prim", list(filter(differentiable, PRIMITIVES)), ids=lambda p: p.name)
def test_a_batch_of_gradients_is_one_after_another(prim: Primitive) -> None:
    """The rules of derivatives batch, too: those of the first sample, all operands stacked."""
    sample = next(s for s in samples(prim) if all(a.size for a in s.arrays))
    tape = traced(sample)
    wrt = [tape.inputs[k] for k in sample.tracked]
    if tape.outputs[0].aval.dtype.kind not in "fc":  # type: ignore[union-attr]
        return
    back, extra = vjp(tape, wrt)
    given = [node.value for node in extra]
    seed = np.asarray(sample.random().normal(size=tape.outputs[0].aval.shape))  # type: ignore[union-attr]
    seed = seed.astype(tape.outputs[0].aval.dtype)  # type: ignore[union-attr]
    n, size = len(sample.arrays), 3
    many = stacks(sample, size)
    flags = (True,) * n + (True,) + (False,) * len(given)
    batched, constants, stacked = vmap(back, size, flags)
    found = run(batched, constants, [*many, np.stack([seed] * size), *given])
    for j in range(size):
        expected = run(back, (), [*(m[j] for m in many), seed, *given])
        for mine, its, on in zip(found, expected, stacked, strict=True):
            assert_allclose(mine[j] if on else mine, its, rtol=1e-10, atol=1e-10)
