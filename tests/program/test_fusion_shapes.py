"""Loop nests of every form against the reference: shapes, reductions, views, windows, cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from differential import Function, agree, as_list, evaluate, plan_of, positive, with_gradient

import nbgrad as ng
from nbgrad.engine import backward, rolling
from nbgrad.machine.threads import get_num_threads, set_num_threads
from nbgrad.program.arrange import BLOCK, CHUNK, Arranged
from nbgrad.program.text import Emitted
from nbgrad.program.values import MAX_STATEMENTS

SHAPES = [
    (),
    (1,),
    (0,),
    (5,),
    (1, 1),
    (3, 1),
    (1, 4),
    (3, 4),
    (0, 3),
    (3, 0),
    (2, 3, 4),
    (1, 3, 1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_elementwise_and_full_reductions(shape: tuple[int, ...]) -> None:
    def f(x, y):
        return (x * y).exp() + x.sin() / y, (x * y).sum(), (x * x).mean()

    agree(f, positive(*shape), positive(*shape, seed=1))


@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=str)
def test_reduction_of_each_axis(shape: tuple[int, ...]) -> None:
    def f(x):
        found = []
        for axis in range(len(shape)):
            found += [(x * x).sum(axis=axis), x.exp().mean(axis=axis, keepdims=True)]
            if shape[axis]:
                found += [x.max(axis=axis), x.prod(axis=axis)]
        return found

    agree(f, positive(*shape))


# ------------------------------------------------------------------ how a reduction is laid out


def cells(x):
    return (x * x).sum(axis=1)


def columns(x):
    return (x * x).sum(axis=0)


def whole(x):
    return (x * x).sum()


# Function, shape, whether columns accumulate in memory, whether the reduced range is cut.
LAYOUTS = [
    (cells, (70, 30), False, False),
    (cells, (3, 40_000), False, True),
    (cells, (100, 700), False, False),
    (columns, (30, 7), False, False),
    (columns, (40_000, 3), False, True),
    (columns, (30, 8), True, False),
    (columns, (5000, 20), True, True),
    (columns, (60, 2 * CHUNK + 5), True, True),
    (columns, (3, 64 * CHUNK + 1), True, False),
    (whole, (2 * BLOCK,), False, False),
    (whole, (2 * BLOCK + 1,), False, True),
    (whole, (3, 5, 4001), False, True),
]


@pytest.mark.parametrize(
    ("f", "shape", "in_columns", "cut"), LAYOUTS, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_layouts_of_reductions(
    f: Function, shape: tuple[int, ...], in_columns: bool, cut: bool
) -> None:
    first = plan_of(f, shape).items[0]
    assert isinstance(first, Arranged)
    assert (first.columns, first.blocks > 1) == (in_columns, cut)
    agree(f, positive(*shape))


@pytest.mark.parametrize("axis", [(0, 2), (1, 3), (0, 1), (2, 3), (0, 2, 3), (1,), (0, 1, 2, 3)])
def test_several_axes(axis: tuple[int, ...]) -> None:
    agree(lambda x: (x.exp().mean(axis=axis), x.max(axis=axis)), positive(4, 9, 5, 11))


def test_several_axes_in_blocks() -> None:
    agree(lambda x: x.exp().mean(axis=(0, 2)), positive(60, 9, 100), tiers=["fused"])


def test_several_reductions_of_one_pass_in_blocks() -> None:
    def f(x):
        return x.sum(), x.max(), x.mean(), (x > 0.3).all(), (x > 1.4).any(), x * 2

    agree(f, positive(3 * BLOCK + 11))
    partials = plan_of(f, (3 * BLOCK + 11,)).steps
    assert sum(isinstance(s, Emitted) for s in partials) == 6  # one pass, then five merges


VIEWED = {
    "transposed": lambda x: x.T.exp().sum(axis=0),
    "transposed, other axis": lambda x: x.T.exp().sum(axis=1),
    "sliced and flipped": lambda x: x[1:-1:2, ::-1].exp().sum(axis=0),
    "sliced and flipped, other axis": lambda x: x[1:-1:2, ::-1].exp().sum(axis=1),
    "both ends": lambda x: (x[::-1] * x).sum(),
    "squeezed": lambda x: x[:, None, :, None].exp().sum(axis=2),
    "broadcast": lambda x: (x[:, :, None] * x[:, None, :]).sum(axis=(0, 2)),
    "reshaped": lambda x: x.reshape(-1, 4).sum(axis=1),
    "reshaped after a sum": lambda x: x.sum(axis=0).reshape(-1, 2) * x.reshape(2, -1).sum(),
    "reshaped transpose": lambda x: (x.exp().T.reshape(-1) * 2).sum(),
}


@pytest.mark.parametrize("name", list(VIEWED))
@pytest.mark.parametrize("shape", [(31, 40), (4, 12)], ids=str)
def test_reductions_of_views(name: str, shape: tuple[int, ...]) -> None:
    agree(VIEWED[name], positive(*shape))


# --------------------------------------------------------------------------------------- windows

STENCILS: dict[str, tuple[Function, tuple[int, ...]]] = {
    "difference": (lambda x: ((x[1:] - x[:-1]) ** 2).sum(), (50,)),
    "difference of two": (lambda x: ((x[1:] - x[:-1]) ** 2).sum(), (2,)),
    "second difference": (lambda x: x[2:] - 2 * x[1:-1] * x[:-2], (50,)),
    "in blocks": (lambda x: (x[1:] * x[:-1] ** 2).sum(), (2 * BLOCK + 9,)),
    "nested": (lambda x: (((x[1:] - x[:-1])[1:] * (x[1:] - x[:-1])[:-1]) ** 2).sum(), (20,)),
    "nested and flipped": (lambda x: ((x[1:] * x[:-1])[::-1][2:] * x[3:]).sum(), (20,)),
    "slice of slice": (lambda x: (x[2:-1][1:] * x[3:-1]).sum(), (20,)),
    "strided": (lambda x: x[::2] * x[1::2], (20,)),
    "strided backwards": (lambda x: (x[::-2] * x[1::2]).sum(), (20,)),
    "one element": (lambda x: x[3] * x[-1] + x[0], (9,)),
    "one of each kind": (lambda x: x[3] * x[:, 1].sum() + x[0, 0], (9, 9)),
    "one and all": (lambda x: (x[4:5] * x).sum(), (9,)),
    "empty window": (lambda x: (x[5:5] * 2).sum() + x.sum(), (9,)),
    "rows of a matrix": (lambda x: ((x[:, 1:] - x[:, :-1] ** 2) ** 2).sum(axis=1), (7, 10)),
    "columns of a matrix": (lambda x: ((x[1:] - x[:-1] ** 2) ** 2).sum(axis=0), (7, 10)),
    "transposed": (lambda x: (x[::-1].T[1:] * x.T[:-1]).sum(), (8, 9)),
    "outer": (lambda x: ((x[1:, None] - x[None, :-1]) ** 2).sum(), (9,)),
    "laplacian": (
        lambda x: (
            (4 * x[1:-1, 1:-1] - x[:-2, 1:-1] - x[2:, 1:-1] - x[1:-1, :-2] * x[1:-1, 2:]) ** 2
        ),
        (20, 30),
    ),
    "laplacian, summed": (
        lambda x: ((4 * x[1:-1, 1:-1] - x[:-2, 1:-1] - x[1:-1, 2:]).tanh()).sum(),
        (200, 210),
    ),
    "laplacian of the smallest": (
        lambda x: ((x[1:-1, 1:-1] * x[:-2, 1:-1] - x[1:-1, :-2]) ** 2).sum(),
        (3, 3),
    ),
    "cube": (lambda x: (x[1:, :-1, 1:] * x[:-1, 1:, 1:]).sum(axis=1), (4, 5, 6)),
}


@pytest.mark.parametrize("name", list(STENCILS))
def test_windows_through_second_order(name: str) -> None:
    f, shape = STENCILS[name]
    compiled = 2 if name in ("difference", "one element", "one of each kind") else 1
    agree(f, positive(*shape), order=compiled, tiers=["fused"])
    agree(f, positive(*shape), order=2, tiers=["block"])


def test_a_stencil_and_its_gradient_are_one_pass() -> None:
    def f(x):
        return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()

    for n in (1000, 100_000):
        stats = plan_of(with_gradient(f), (n,)).stats()
        assert stats["arena_bytes"] <= 8 * (n // BLOCK + 2) + 64  # partial sums at most
        assert stats["kernels"] <= 2 and stats["library_calls"] == stats["host_calls"] == 0


def test_concatenation_update_and_gather() -> None:
    def f(x, y):
        z = x * 1
        z[1:4] = y
        z[::2] = z[::2] * 2
        z[0] = 3.0
        joined = ng.concatenate([x[::-1], y.exp(), x[:0], z])
        return joined * joined, ng.stack([x, z], axis=1), joined[np.array([0, 3, 3, -1])] * 2

    agree(f, positive(7), positive(3, seed=1), order=2)


# ------------------------------------------------------------------------------------------- cuts


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave long tapes as they are: no loops are looked for."""
    for module in (backward, rolling):
        monkeypatch.setattr(module, "MIN_EQUATIONS", 10**9)


def chain(x, n: int):
    for k in range(n):
        x = x * 0.99 + 0.01 * (k % 7) if k % 3 else 1.5 / (x + 1.0)
    return x


def statements(source: str) -> int:
    """Most statements in one kernel."""
    return max(text.count("\n") for text in source.split("\ndef "))


@pytest.mark.usefixtures("flat")
@pytest.mark.parametrize("n", [61, 150])
def test_long_chains_are_cut(n: int) -> None:
    agree(lambda x: chain(x, n), positive(37))
    plan = plan_of(with_gradient(lambda x: chain(x, 4 * n).sum()), (37,))
    assert statements(plan.source()) < 3 * MAX_STATEMENTS
    assert plan.stats()["kernels"] > 1


def test_wide_expressions_are_cut() -> None:
    def tree(x, n: int):
        level = [x * (k / n) for k in range(1, n)]
        while len(level) > 1:
            pairs = [a * b + a for a, b in zip(level[::2], level[1::2], strict=False)]
            level = pairs + level[2 * len(pairs) :]
        return level[0]

    agree(lambda x: tree(x, 80).sum(axis=0), positive(13, 4), order=0)
    assert statements(plan_of(lambda x: tree(x, 130), (13,)).source()) < 3 * MAX_STATEMENTS


@pytest.mark.parametrize(("k", "n"), [(30, 3), (26, 30), (3, 90)])
def test_many_outputs_are_cut(k: int, n: int) -> None:
    def f(x, y):
        return [chain(x * (i + 1.5) + y, n) for i in range(k)]

    agree(f, positive(20), positive(20, seed=1), order=0)
    assert statements(plan_of(f, (20,), (20,)).source()) < 4 * MAX_STATEMENTS


def test_many_sums_of_different_axes() -> None:
    agree(lambda x: [(x / (x + i)).sum(axis=i % 2) for i in range(20)], positive(20, 30))


def test_many_inputs_and_numbers() -> None:
    def f(*xs):
        return sum((x * (k + 0.5)).sum() + x * (k / 3) for k, x in enumerate(xs))

    agree(f, *(positive(5, seed=k) for k in range(20)))


# -------------------------------------------------------------------------------------- composites

COMPOSITES: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    "softmax": (
        lambda x: (
            ng.exp(x - x.max(axis=-1, keepdims=True))
            / ng.exp(x - x.max(axis=-1, keepdims=True)).sum(axis=-1, keepdims=True)
        ),
        ((7, 11),),
    ),
    "layer norm": (
        lambda x, g: (
            (x - x.mean(axis=-1, keepdims=True)) / (x.var(axis=-1, keepdims=True) + 0.1).sqrt() * g
        ),
        ((7, 11), (11,)),
    ),
    "log sum exp": (lambda x: ng.log(ng.exp(x - x.max()).sum()) + x.max(), ((40_000,),)),
    "sums of sums": (lambda x: (x.sum(axis=0) / 9).exp().sum() * x / x.sum(axis=0), ((9, 5),)),
    "network": (lambda x, w, v: (x @ w).tanh() @ v, ((5, 4), (4, 6), (6, 2))),
    "products of views": (lambda x, w: ((x.T @ w[::-1]) / 9).exp() * x[1:2].T, ((5, 4), (5, 6))),
    "products of expressions": (lambda x, w: (x * 2 + 1) @ w.exp() * x[:, :1], ((5, 4), (4, 6))),
    "batched product": (lambda x, w: (x @ w).sum(axis=0), ((3, 5, 4), (3, 4, 6))),
    "empty product": (lambda x, w: x @ w, ((5, 0), (0, 4))),
    "moments": (lambda x: (x.var(axis=0), x.std(axis=1), ng.norm(x)), ((30, 9),)),
}


@pytest.mark.parametrize("name", list(COMPOSITES))
def test_composites(name: str) -> None:
    f, shapes = COMPOSITES[name]
    agree(f, *(positive(*shape, seed=k) for k, shape in enumerate(shapes)))


# ----------------------------------------------------------------------------------------- threads


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    def f(x):
        return (
            (x.sin() * x).sum(),
            x.sum(axis=0),
            x.sum(axis=1),
            x.T.exp().mean(axis=0),
            ((x[1:] - x[:-1] ** 2) ** 2).sum(),
            x.max(axis=1),
            x / x.sum(),
        )

    arrays = [positive(301, 700), positive(60_001, 5), positive(5, 60_001)]
    before = get_num_threads()
    try:
        for tier in ("fused", "block"):
            for array in arrays:
                found = []
                for n in (1, 1, 2):  # what the first run shows to be read twice is kept afterwards
                    set_num_threads(n)
                    found.append(evaluate(tier, lambda x: as_list(f(x)), [array], 1))
                for one, two in zip(*found[1:], strict=True):
                    np.testing.assert_array_equal(one.view(np.int64), two.view(np.int64))
    finally:
        set_num_threads(before)


@pytest.mark.usefixtures("flat")
def test_a_long_loop_over_scalars_computes_each_once() -> None:
    """Runge-Kutta steps of a predator and its prey: value and gradient, in a short program."""

    def final(p, steps=12):
        u, v, h = 1.0, 0.5, 0.05

        def slope(u, v):
            return p[0] * u - p[1] * u * v, p[2] * u * v - p[3] * v

        for _ in range(steps):
            a1, b1 = slope(u, v)
            a2, b2 = slope(u + h / 2 * a1, v + h / 2 * b1)
            a3, b3 = slope(u + h / 2 * a2, v + h / 2 * b2)
            a4, b4 = slope(u + h * a3, v + h * b3)
            u = u + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
            v = v + h / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
        return u * u + v

    program = plan_of(with_gradient(final), (4,))
    assert len(program.tape) > 1000
    # Each equation in one line and a store; it was 37 lines for each.
    assert program.source().count("\n") < 4 * len(program.tape)
    agree(final, positive(4), tiers=("block",))


@pytest.mark.parametrize(("dtype", "ndim"), [("i1", 4), ("i2", 6), ("i4", 8)])
def test_names_of_dtypes_and_of_loops_differ(dtype: str, ndim: int) -> None:
    """``i1`` was a loop's index and the class of its elements: every other axis is reduced."""
    x = np.random.default_rng(0).integers(0, 100, (2, 3) * (ndim // 2)).astype(dtype)
    for start in (0, 1):
        axis = tuple(range(start, ndim, 2))
        with ng.configure(tier="fused"):
            found = ng.tensor(x).amin(axis=axis).numpy()
        np.testing.assert_array_equal(found, x.min(axis=axis))


@pytest.mark.parametrize(("size", "most"), [(100, 12), (1 << 16, 3)])
def test_large_results_share_a_nest_if_they_share_operands(size: int, most: int) -> None:
    """A nest over the arrays of many parameters at once got them from memory at half the speed."""

    def step(*xs: Any) -> Any:
        made = []
        for p, g, m, v in zip(xs[::4], xs[1::4], xs[2::4], xs[3::4], strict=True):
            m, v = m * 0.9 + g * 0.1, v * 0.99 + g * g * 0.01
            made += [p - m / (v**0.5 + 1e-8), m, v]
        return tuple(made)

    texts = plan_of(step, *[(size,)] * 16).source().split("def ")[1:]
    assert max(sum(f"y{k}[" in text for k in range(12)) for text in texts) == most


def test_parts_of_results_share_what_they_have_in_common() -> None:
    """The columns of a Jacobian, each put together of two halves, are computed in one nest."""

    def columns(x: Any) -> Any:
        s = ng.exp(ng.sin(x)) * ng.cos(x)
        return [ng.concatenate([s * k, s * s + k]) for k in (2.0, 3.0, 4.0)]

    x = np.linspace(0.0, 1.0, 40)
    compiled = ng.jit(columns)
    s = np.exp(np.sin(x)) * np.cos(x)
    for k, found in zip((2.0, 3.0, 4.0), compiled(x), strict=True):
        np.testing.assert_allclose(found, np.concatenate([s * k, s * s + k]), 1e-14)
    assert compiled.source(x).count("exp_f8(") == 1
    # Parts that have nothing in common are written where they belong.
    apart = ng.jit(lambda x: ng.concatenate([ng.exp(x), ng.sin(x)]))
    assert apart.stats(x)["kernels"] == 2
