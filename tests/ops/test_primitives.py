"""Every primitive of the registry against its NumPy reference: value, VJP, JVP and order 2.

Derivatives are compared with finite differences of the reference along random directions, never
with a formula, in float64, and in float32 with the float64 differences.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from samples import Array, Sample, samples

import nbgrad as ng
from nbgrad.api.products import tangents_of
from nbgrad.core.interpret import evaluate
from nbgrad.core.linearize import linearize
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.primitive import Primitive, bind
from nbgrad.core.registry import primitives
from nbgrad.engine.backward import run_backward
from nbgrad.engine.demand import demand
from nbgrad.ops.kinds.forms import Expression, Host
from nbgrad.program.cost import SCALAR_CALLS

load_vocabulary()
PRIMITIVES = list(primitives.values())
DIFFERENTIABLE = [p for p in PRIMITIVES if p.vjp is not None]
TIERS = ["reference", "block", "fused"]
every_primitive = pytest.mark.parametrize("prim", PRIMITIVES, ids=lambda p: p.name)
every_tier = pytest.mark.parametrize("tier", TIERS)


def has_no_kernel(prim: Primitive) -> bool:
    """Whether every tier calls the reference, in one thread: only its rules are compiled."""
    return isinstance(prim.lower, Host) or (
        isinstance(prim.lower, Expression) and not prim.lower.text
    )


def calls_scalars(prim: Primitive) -> bool:
    """Whether its kernel calls a function for each element: nothing that the shape changes."""
    text = getattr(prim.lower, "text", "")
    text = text(prim.cases[0]) if callable(text) else text
    return any(prefix in text for prefix in SCALAR_CALLS)


def chosen(prim: Primitive, tier: str) -> list[Sample]:
    """All samples on the reference tier; fewer on the tiers that compile kernels for each.

    A kernel serves any extents, so other shapes of the same rank would test nothing new. How operands
    are broadcast and what is reduced concerns programs, not primitives: each has a general sample, and
    by its name one of the next three or none: a reduction always, what is elementwise every other time,
    with one operand, which has no other to be broadcast with, every fourth.
    """
    found = samples(prim)
    if tier != "reference" and has_no_kernel(prim):
        return found[:1] if tier == "block" else []  # blocks have a kernel of each operation
    if tier != "reference" and calls_scalars(prim):
        return [s for s in found if s.arrays[0].shape == found[0].arrays[0].shape]
    if tier == "reference" or prim.kind not in ("elementwise", "reduction"):
        return found
    first_of_params = {str(s.params): s for s in reversed(found)}
    if prim.cases:
        return list(first_of_params.values())
    by_name = zlib.crc32(prim.name.encode())
    if prim.kind == "elementwise" and by_name % (2 if len(found[0].arrays) > 1 else 4):
        return found[:1]
    other = 1 + by_name % 3
    return found[:1] + found[other : other + 1]


def recorded(sample: Sample, requires_grad: bool = False) -> tuple[list[Node], Node]:
    """The operands as leaves, and the node of the operation on them."""
    xs = [leaf_node(np.array(a, order="C")) for a in sample.arrays]
    for k in sample.tracked:
        xs[k].requires_grad = requires_grad
    return xs, sample.record(xs)


# ------------------------------------------------------------------------------------------- value


def tolerance(tier: str, dtype: np.dtype[Any]) -> float:
    """The reference is exact; kernels have their own vector math and order of sums."""
    return 0.0 if tier == "reference" else 64 * float(np.finfo(dtype).eps)


def integers(sample: Sample, dtype: str) -> Sample:
    arrays = tuple(
        np.round(3 * a).astype(dtype) if a.dtype.kind == "f" else a for a in sample.arrays
    )
    return Sample(sample.prim, arrays, sample.params)


def typed(sample: Sample, tier: str, general: Sample) -> Iterator[Sample]:
    """The sample in each dtype that the primitive has a lowering for, and float32.

    Fused kernels of other dtypes differ in their types alone: those of the shapes of *general* do.
    """
    yield sample
    if tier == "fused" and sample.arrays[0].shape != general.arrays[0].shape:
        return
    yield sample.astype(np.float32)
    kinds = sample.prim.lower.dtypes if isinstance(sample.prim.lower, Expression) else ""
    if "i" in kinds and not sample.params:
        yield integers(sample, "int64")
        yield integers(sample, "int16")


@every_tier
@every_primitive
def test_value_is_that_of_the_reference(prim: Primitive, tier: str) -> None:
    found = chosen(prim, tier)
    for original in found:
        for sample in typed(original, tier, general=found[0]):
            with ng.configure(tier=tier):
                _, y = recorded(sample)
                demand([y])
            expected = sample.evaluate()
            assert y.value.shape == y.shape == expected.shape, sample.label
            assert y.value.dtype == y.dtype == expected.dtype, sample.label
            rtol = tolerance(tier, y.dtype) if y.dtype.kind == "f" else 0.0
            assert_allclose(y.value, expected, rtol=rtol, atol=rtol, err_msg=sample.label)


EDGES = [0.0, -0.0, 1.0, 0.5, -2.5, np.inf, -np.inf, np.nan, 5e-324, 1e300]


@pytest.mark.parametrize(
    "prim",
    [p for p in PRIMITIVES if p.kind == "elementwise" and not p.public and not has_no_kernel(p)],
    ids=lambda p: p.name,
)
def test_edges_give_what_the_reference_gives(prim: Primitive) -> None:
    """What rules alone are written in, at all pairs of edges: tests of NumPy's functions miss it."""
    arrays = samples(prim)[0].arrays
    edges = [[0, 1, -1, 7] if a.dtype.kind == "i" else EDGES for a in arrays]
    grid = [g.ravel().astype(a.dtype) for g, a in zip(np.meshgrid(*edges), arrays, strict=True)]
    sample = replace(samples(prim)[0], arrays=tuple(grid))
    with np.errstate(all="ignore"):
        expected = sample.evaluate()
    if prim.name == "uniform_power":  # NumPy has the root for one exponent of 0.5, not for many
        expected = np.where((grid[0] == -np.inf) & (grid[1] == 0.5), np.nan, expected)
    with ng.configure(tier="block"):
        _, y = recorded(sample)
        demand([y])
    assert_allclose(y.value, expected, rtol=1e-9, atol=1e-300)


def strided(array: Array) -> Iterator[Array]:
    """The same numbers, reversed in memory and with gaps between them."""
    if array.ndim:
        yield array[::-1].copy()[::-1]
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        yield wide[..., ::2]
        yield np.asfortranarray(array)


@every_primitive
def test_operands_may_be_reversed_or_strided(prim: Primitive) -> None:
    sample = next(s for s in samples(prim) if all(a.size for a in s.arrays))
    compiled = ng.jit(lambda *xs: ng.Tensor(sample.record([x._node for x in xs])))
    expected = compiled(*sample.arrays)
    assert_allclose(expected, sample.evaluate(), rtol=1e-13, atol=1e-13)
    for layouts in zip(*(strided(a) for a in sample.arrays), strict=False):
        assert_array_equal(compiled(*layouts), expected)


# ------------------------------------------------------------------------------------- derivatives


def direction(rng: np.random.Generator, like: Array) -> Array:
    v = rng.normal(size=like.shape)
    return np.asarray(v + 1j * rng.normal(size=like.shape) if like.dtype.kind == "c" else v)


def moving(rng: np.random.Generator, sample: Sample, k: int) -> Array:
    """A direction to move the k-th operand in."""
    v = direction(rng, sample.arrays[k])
    return (v + np.conj(np.swapaxes(v, -1, -2))) / 2 if k in sample.symmetric else v


class Directions:
    """Seeded random directions in the operands, and a cotangent of the result."""

    def __init__(self, sample: Sample) -> None:
        rng = sample.random()
        self.v = {k: moving(rng, sample, k) for k in sample.tracked}
        self.u = {k: moving(rng, sample, k) for k in sample.tracked}
        self.ct = direction(rng, sample.evaluate())


def differences(sample: Sample, along: Directions) -> tuple[Array, float]:
    """Central differences: the tangent along v, and <ct, second derivative along v and u>."""
    h, small = 1e-6, 1e-4
    forward, backward = (sample.evaluate(sample.moved(s * h, along.v)) for s in (1, -1))
    tangent = (forward - backward) / (2 * h)
    second = 0.0
    for a in (1, -1):
        for b in (1, -1):
            moved = sample.moved(a * small, along.v)
            again = replace(sample, arrays=moved).moved(b * small, along.u)
            second += a * b * inner([along.ct], [sample.evaluate(again)])
    return tangent, second / (4 * small * small)


def inner(cotangents: Iterable[Array], directions: Iterable[Array]) -> float:
    """``Re sum conj(ct) v``, by which PyTorch's convention measures a step along v."""
    pairs = zip(cotangents, directions, strict=True)
    return sum(float(np.sum(np.real(np.conj(c) * d))) for c, d in pairs)


def derived(sample: Sample, along: Directions) -> tuple[Array, float, float]:
    """From the rules, in one program: tangent, <vjp, v>, and its derivative along u."""
    xs, y = recorded(sample, requires_grad=True)
    tracked = [xs[k] for k in sample.tracked]
    leaves = [leaf_node(along.v[k].astype(xs[k].dtype)) for k in sample.tracked]
    (tangent,) = tangents_of([ng.Tensor(y)], [ng.Tensor(x) for x in tracked], leaves)
    options: dict[str, Any] = {"retain_graph": True, "create_graph": True}
    seed = leaf_node(along.ct.astype(y.dtype))
    first = dict(run_backward([y], [seed], inputs=tracked, **options))
    firsts = [first[x] for x in tracked]
    second: dict[Node, Node] = {}
    again = [(f, v) for f, v in zip(firsts, leaves, strict=True) if f.requires_grad]
    if again:
        outputs, seeds = zip(*again, strict=True)
        second = dict(run_backward(outputs, seeds, inputs=tracked, **options))
    demand([tangent, *firsts, *second.values()])
    seconds = [second[x].value if x in second else np.zeros(x.shape) for x in tracked]
    for x, found in zip(tracked, firsts, strict=True):
        assert found.value.dtype == x.dtype and found.shape == x.shape, sample.label
    by_vjp = inner([f.value for f in firsts], along.v.values())
    return tangent.value, by_vjp, inner(seconds, along.u.values())


def compare(sample: Sample, tier: str, dtype: Any, order1: float, order2: float) -> None:
    """Tangent, VJP and order 2 of *sample* in *dtype*, against differences of it as it is."""
    along = Directions(sample)
    tangent, second = differences(sample, along)
    with ng.configure(tier=tier):
        by_jvp, by_vjp, by_second = derived(sample.astype(dtype), along)
    rounded = sample.params.get("dtype") == np.float32  # a cast: differences see its rounding
    loose = 1e-1 if rounded else order1
    slope = inner([along.ct], [tangent])
    label = sample.label
    assert_allclose(by_jvp, tangent, rtol=loose, atol=loose, err_msg=f"JVP of {label}")
    if not any(sample.arrays[k].size for k in sample.tracked):
        return  # cotangents of no elements: their shapes and dtypes have been compared
    scale = 1 + float(np.sum(np.abs(along.ct * tangent)))
    assert_allclose(by_vjp, slope, rtol=loose, atol=loose * scale, err_msg=f"VJP of {label}")
    if not rounded:
        atol = order2 * scale
        assert_allclose(by_second, second, rtol=order2, atol=atol, err_msg=f"order 2 of {label}")


# Of single precision blocks are kernels as the fused ones are.
WAYS = [(np.float64, tier) for tier in TIERS] + [(np.float32, t) for t in TIERS if t != "block"]


@pytest.mark.parametrize(("dtype", "tier"), WAYS, ids=[f"{d.__name__}-{t}" for d, t in WAYS])
@pytest.mark.parametrize("prim", DIFFERENTIABLE, ids=lambda p: p.name)
def test_derivatives_are_those_of_finite_differences(
    prim: Primitive, dtype: Any, tier: str
) -> None:
    orders = (1e-7, 1e-5) if dtype is np.float64 else (1e-4, 2e-3)
    if tier != "reference" and dtype is np.float32 and calls_scalars(prim):
        return  # calls compute in float64, between casts
    found = chosen(prim, tier)
    if tier != "reference" and dtype is np.float32:
        found = found[:1]  # kernels of single precision differ in their types alone
    for sample in found:
        if sample.evaluate().dtype.kind in "fc":  # a cast to integers has no derivative
            compare(sample, tier, dtype, *orders)


def complex_samples(prim: Primitive) -> list[Sample]:
    """Complex operands, then the first real and the others complex; none where NumPy has none."""
    whole = [s for s in samples(prim) if all(a.size for a in s.arrays)]
    floats = [[k for k, a in enumerate(s.arrays) if a.dtype.kind == "f"] for s in whole]
    found = [
        sample.with_imaginary(which)
        for sample, all_floats in zip(whole, floats, strict=True)
        for which in (all_floats, all_floats[1:])
        if which
    ]
    try:
        for sample in found:
            recorded(sample)
            sample.evaluate()
    except TypeError:
        return []
    return found


COMPLEX = [p for p in DIFFERENTIABLE if p.kind != "opaque" and complex_samples(p)]


@every_tier
@pytest.mark.parametrize("prim", COMPLEX, ids=lambda p: p.name)
def test_complex_derivatives_are_those_of_finite_differences(prim: Primitive, tier: str) -> None:
    """Also of a real operand beside a complex one, whose cotangent is real.

    What is complex runs through the reference on every tier; one sample shows it.
    """
    found = complex_samples(prim)
    for sample in found if tier == "reference" else found[:1]:
        if sample.evaluate().dtype.kind in "fc":
            compare(sample, tier, np.complex128, 1e-7, 1e-5)
            compare(sample, tier, np.complex64, 1e-3, 2e-2)


@pytest.mark.parametrize("prim", DIFFERENTIABLE, ids=lambda p: p.name)
def test_float16_derivatives_have_its_dtype_and_precision(prim: Primitive) -> None:
    """float16 is stored, and computed in float32: a few roundings to three digits remain."""
    sample = samples(prim)[0]
    if sample.evaluate().dtype.kind == "f" and prim.kind != "opaque":  # LAPACK has no float16
        compare(sample, "reference", np.float16, 2e-2, 1e-1)


# ----------------------------------------------------------------------------------------- threads


def is_shared(prim: Primitive) -> bool:
    """Whether several threads share a large sample: of any shape, by a kernel; of scalars' calls two."""
    if prim.kind not in ("elementwise", "reduction") or has_no_kernel(prim):
        return False
    return not calls_scalars(prim) or prim.name in ("ndtr", "kl_div")


def large(prim: Primitive) -> Sample:
    """A sample of some 10^5 elements."""
    rng = np.random.default_rng(3)
    first = next(s for s in samples(prim) if all(a.size for a in s.arrays))
    shape = (300, 400)
    arrays = []
    for a in first.arrays:
        picked = rng.integers(0, a.size, size=shape)
        arrays.append(
            a.reshape(-1)[picked] * (1 + 1e-3 * rng.random(shape))
            if a.dtype.kind == "f"
            else a.reshape(-1)[picked]
        )
    params = first.params if prim.kind == "elementwise" else {"axis": (1,), "keepdims": False}
    return Sample(prim, tuple(arrays), params)


@pytest.mark.parametrize("tier", TIERS[1:])
@pytest.mark.parametrize("prim", list(filter(is_shared, PRIMITIVES)), ids=lambda p: p.name)
def test_one_thread_and_two_give_the_same_bits(prim: Primitive, tier: str) -> None:
    sample = large(prim)
    if ng.get_num_threads() < 2:
        return
    results = []
    before = ng.get_num_threads()
    try:
        for count in (1, 2):
            ng.set_num_threads(count)
            with ng.configure(tier=tier):
                xs, y = recorded(sample, requires_grad=True)
                wanted = [y]
                if y.requires_grad:
                    ones = leaf_node(np.ones(y.shape, y.dtype))
                    tracked = [xs[k] for k in sample.tracked]
                    wanted += [
                        g
                        for _, g in run_backward(
                            [y], [ones], inputs=tracked, retain_graph=True, create_graph=True
                        )
                    ]
                demand(wanted)
            results.append([node.value.tobytes() for node in wanted])
    finally:
        ng.set_num_threads(before)
    assert results[0] == results[1]


# ---------------------------------------------------------------------------------- the registry


@every_primitive
def test_declaration_is_complete(prim: Primitive) -> None:
    assert prim.doc.endswith(".") and prim.grad_name
    assert prim.kind in ("elementwise", "linear", "reduction", "bilinear", "opaque")
    assert (prim.vjp is None) == (prim.jvp is None)
    assert samples(prim), "no sample: declare a domain or cases"


def test_samples_catch_a_wrong_rule() -> None:
    """A rule with the wrong sign and one that forgets an operand fail the comparison."""
    sample = samples(primitives["multiply"])[0]
    along = Directions(sample)
    tangent, second = differences(sample, along)
    by_jvp, by_vjp, by_second = derived(sample, along)
    slope = inner([along.ct], [tangent])
    assert abs(slope) > 0.1 and abs(second) > 0.1
    assert_allclose([by_vjp, by_second], [slope, second], rtol=1e-6)
    assert not np.allclose(-by_jvp, tangent) and not np.isclose(-by_second, second)


@pytest.mark.parametrize(
    "prim", [p for p in PRIMITIVES if p.kind == "elementwise"], ids=lambda p: p.name
)
def test_numbers_alone_give_what_arrays_of_them_give(prim: Primitive) -> None:
    """In rules, and where a program reads numbers as its arguments, nothing says their dtype."""
    sample = samples(prim)[0]
    xs = [np.array(a.flat[0]) for a in sample.arrays]
    numbers = [x.item() for x in xs]
    expected = prim.evaluate(*xs, **sample.params)
    assert_array_equal(bind(prim, *numbers, **sample.params), expected)
    tape, _ = linearize([sample.record([leaf_node(x) for x in xs])], [])
    assert_array_equal(evaluate(tape.eqns[-1], numbers), expected)
