"""Library kernels: products, gathers and scatters run in the frame, on operands where they lie."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from compiled import Both, check
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.backends.cpu import library
from nbgrad.core.node import constant
from nbgrad.machine import threads
from nbgrad.ops.arrays import indexing, reductions, scans
from nbgrad.program.index import merged_stride


def normal(*shape: int, dtype: Any = np.float64) -> Any:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = threads.get_num_threads()
    if threads.max_threads() < 2:
        pytest.skip("one processor")
    threads.set_num_threads(2)
    yield
    threads.set_num_threads(before)


# ---------------------------------------------------------------------------------------- products

SHAPES = [(1, 1, 1), (3, 4, 5), (20, 30, 10), (1, 40, 30), (40, 1, 30), (30, 40, 1), (9, 9, 200)]

# name, view of a (rows, cols) matrix made from a larger array, shape of that array, copies
LAYOUTS: dict[str, tuple[Callable[[Any], Any], Callable[[int, int], tuple[int, ...]], int]] = {
    "plain": (lambda x: x, lambda r, c: (r, c), 0),
    "transposed": (lambda x: x.T, lambda r, c: (c, r), 0),
    "window": (lambda x: x[1:-1, 2:-1], lambda r, c: (r + 2, c + 3), 0),
    "transposed window": (lambda x: x.T[1:, :-2], lambda r, c: (c + 2, r + 1), 0),
    "of a batch": (lambda x: x[1], lambda r, c: (2, r, c), 0),
    "every second row": (lambda x: x[::2], lambda r, c: (2 * r, c), 0),
    "every second column": (lambda x: x[:, ::2], lambda r, c: (r, 2 * c), 1),
    "reversed": (lambda x: x[::-1], lambda r, c: (r, c), 1),
    "reshaped": (lambda x: x.reshape(x.shape[0], -1), lambda r, c: (r, 1, c), 0),
    "one row": (lambda x: ng.broadcast_to(x, (5, x.shape[0])), lambda r, c: (c,), 1),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_product_and_gradients(shape: tuple[int, int, int], dtype: Any) -> None:
    m, n, k = shape
    rtol = 1e-12 if dtype is np.float64 else 1e-4
    step = ng.value_and_grad(lambda a, b: ((a @ b) ** 2).sum(), argnums=(0, 1))
    check(lambda a, b: _flat(step(a, b)), normal(m, k, dtype=dtype), normal(k, n, dtype=dtype),
          rtol=rtol)  # fmt: skip


def _flat(result: Any) -> list[Any]:
    value, grads = result
    return [value, *(grads if isinstance(grads, tuple) else [grads])]


@pytest.mark.parametrize(("left", "right"), list(itertools.product(LAYOUTS, LAYOUTS)))
def test_views_are_read_in_place(left: str, right: str) -> None:
    (view_a, shape_a, copies_a), (view_b, shape_b, copies_b) = LAYOUTS[left], LAYOUTS[right]
    rows = 5 if left == "one row" else 12
    inner = 5 if right == "one row" else 10
    a, b = normal(*shape_a(rows, inner)), normal(*shape_b(inner, 11))

    def f(a: Any, b: Any) -> Any:
        return view_a(a) @ view_b(b)

    both = check(f, a, b)
    assert both.program.stats()["kernels"] == copies_a + copies_b
    step = ng.value_and_grad(lambda a, b: (f(a, b) ** 2).sum(), argnums=(0, 1))
    check(lambda a, b: _flat(step(a, b)), a, b)


BATCHES: list[tuple[str, Callable[..., Any], tuple[int, ...], tuple[int, ...], int]] = [
    ("one batch", lambda a, b: a @ b, (4, 9, 10), (4, 10, 11), 0),
    ("two batches", lambda a, b: a @ b, (2, 3, 9, 10), (2, 3, 10, 11), 0),
    ("shared right", lambda a, b: a @ b, (4, 9, 10), (10, 11), 0),
    ("shared left", lambda a, b: a @ b, (9, 10), (4, 10, 11), 0),
    # One matrix on the right makes one product, for its gradient; then a broadcast is written out.
    ("both shared", lambda a, b: ng.broadcast_to(a, (3, 9, 10)) @ b, (9, 10), (10, 11), 1),
    ("rows shared", lambda a, b: ng.broadcast_to(a, (3, 1, 10)) @ b, (1, 10), (10, 11), 1),
    ("partly shared", lambda a, b: a @ b, (2, 3, 9, 10), (3, 10, 11), 0),
    ("one row each", lambda a, b: a @ b, (5, 1, 10), (10, 11), 0),
    ("transposed", lambda a, b: a @ b.swapaxes(1, 2), (4, 9, 10), (4, 11, 10), 0),
    ("batch last", lambda a, b: a.transpose(2, 0, 1) @ b, (9, 10, 4), (4, 10, 11), 1),
    ("batch reversed", lambda a, b: a[::-1] @ b, (4, 9, 10), (4, 10, 11), 0),
    ("heads", lambda a, b: a.swapaxes(1, 2) @ b.transpose(0, 2, 3, 1),
     (2, 9, 3, 10), (2, 11, 3, 10), 0),
    ("heads of one", lambda a, b: a.swapaxes(1, 2) @ b.transpose(0, 2, 3, 1),
     (1, 9, 3, 10), (1, 11, 3, 10), 0),
    ("three batches", lambda a, b: a.swapaxes(1, 2) @ b, (2, 3, 4, 9, 10), (2, 4, 3, 10, 11), 1),
    ("small", lambda a, b: a.swapaxes(1, 2) @ b, (5, 2, 4, 3), (5, 4, 3, 2), 1),
    ("vector", lambda a, b: a @ b, (4, 9, 10), (10,), 1),
]  # fmt: skip


@pytest.mark.parametrize("case", BATCHES, ids=[case[0] for case in BATCHES])
def test_batches(case: tuple[Any, ...]) -> None:
    _, f, shape_a, shape_b, copies = case
    a, b = normal(*shape_a), normal(*shape_b)
    both = check(f, a, b)
    assert both.program.stats()["kernels"] <= copies
    step = ng.value_and_grad(lambda a, b: (f(a, b) ** 2).sum(), argnums=(0, 1))
    check(lambda a, b: _flat(step(a, b)), a, b, rtol=1e-10)


def test_a_shared_matrix_makes_one_product_of_a_batch() -> None:
    (call,) = check(lambda a, b: a @ b, normal(4, 3, 9, 10), normal(10, 11)).calls
    found = library.product(*call.operands)
    assert (found.m, found.outer, found.inner) == (108, 1, 1)


@pytest.mark.parametrize("shapes", [((3, 0), (0, 2)), ((0, 3), (3, 2)), ((2, 0, 3), (2, 3, 4)),
                                    ((2, 3, 0), (2, 0, 4)), ((0, 3, 2), (0, 2, 4))])  # fmt: skip
def test_empty_products(shapes: Any) -> None:
    check(lambda a, b: a @ b, *[normal(*s) for s in shapes])


def test_products_of_integers_and_complex_numbers_run_in_numpy() -> None:
    for dtype in (np.int64, np.complex128):
        a = np.arange(6).reshape(2, 3).astype(dtype)
        both = Both(lambda a, b: a @ b, a, a.T.copy())
        assert both.program.stats()["host_calls"] == 1
        assert_array_equal(both.run(a, a.T.copy())[0], a @ a.T)


def test_large_batches_are_split_with_one_blas_thread(two_threads: None) -> None:
    a, b = normal(64, 30, 40), normal(64, 40, 20)
    both = check(lambda a, b: a @ b, a, b)
    assert len(library.launches(both.calls[0], 1)) == (3 if library._thread_setter() else 1)
    before = library.blas._thread_functions()
    count = before[0]() if before else 0
    parallel = both.run(a, b)[0]
    assert not before or before[0]() == count
    threads.set_num_threads(1)
    assert_array_equal(parallel, both.run(a, b)[0])
    check(lambda a, b: a.swapaxes(1, 2) @ b.swapaxes(1, 2), normal(8, 30, 8, 40),
          normal(8, 40, 8, 20))  # fmt: skip


# ------------------------------------------------------------------------------ gather and scatter

VALUES = [(7,), (7, 3), (7, 2, 3), (7, 200)]
INDEX = np.array([[0, 6, -1], [3, 3, -7]])


def nodes(f: Callable[..., Any]) -> Callable[..., Any]:
    """Call a primitive on the nodes of tensors."""
    return lambda *xs: f(*[x._node for x in xs])


@pytest.mark.parametrize("code", ["f8", "f4", "i8", "i4", "u1", "b1"])
@pytest.mark.parametrize("shape", VALUES)
def test_gather_and_scatter(shape: tuple[int, ...], code: str) -> None:
    x = (10 * normal(*shape)).astype(code)
    v = (10 * normal(2, 3, *shape[1:])).astype(code)
    check(nodes(indexing.take), x, INDEX)
    check(nodes(indexing.put), x, INDEX, v)
    if code != "b1":
        check(nodes(lambda v, i: indexing.scatter_add(v, i, size=7)), v, INDEX, rtol=1e-5)


@pytest.mark.parametrize("code", ["i8", "i4", "i2", "i1", "u4", "u2", "u1"])
def test_dtypes_of_an_index(code: str) -> None:
    check(nodes(indexing.take), normal(7, 2), np.array([6, 0, 3], code))


def test_gather_reads_views_in_place() -> None:
    x = normal(8, 6)
    for view in (lambda x: x.T, lambda x: x[::2], lambda x: x[::-1, ::-1][1:]):
        both = check(lambda x, i, view=view: view(x)[i], x, np.array([3, -1, 0]))
        assert both.program.stats()["kernels"] == 0
    both = check(lambda x, i: ng.broadcast_to(x[:, :1], (8, 3))[i[1:]], x, np.array([9, 0, 7, 7]))
    assert both.program.stats()["kernels"] == 0
    check(lambda x, i: x.reshape(4, 2, 6).swapaxes(0, 1)[i], x, np.array([1, 0]))


def test_gradient_of_indexing() -> None:
    x, i = normal(7, 3), np.array([1, 1, -2, 6])
    step = ng.value_and_grad(lambda x, i: (x[i] ** 3).sum())
    check(lambda x, i: _flat(step(x, i)), x, i)

    def assigned(x: Any, v: Any, i: Any) -> Any:
        y = x * 2
        y[i] = v
        return (y**2).sum()

    step = ng.value_and_grad(assigned, argnums=(0, 1))
    check(lambda x, v, i: _flat(step(x, v, i)), x, normal(4, 3), i)


def test_empty_gathers() -> None:
    none = np.zeros((0,), np.int64)
    for shape in ((7,), (7, 2), (7, 0), (0,)):
        check(nodes(indexing.take), normal(*shape), none)
        check(nodes(indexing.put), normal(*shape), none, normal(0, *shape[1:]))
        check(nodes(lambda v, i: indexing.scatter_add(v, i, size=3)), normal(0, *shape[1:]), none)


@pytest.mark.parametrize("bad", [7, -8, 2**40, -(2**62)])
def test_an_index_out_of_range_raises(bad: int) -> None:
    x, v = normal(7, 3), normal(2, 3)
    shown = max(min(bad, 2**38), -(2**38))
    text = f"index {shown} is out of bounds for axis 0 with size 7"
    good = np.array([2, 3])
    for f, args in (
        (nodes(lambda x, i: indexing.take(x, i)), (x,)),
        (nodes(lambda v, i: indexing.scatter_add(v, i, size=7)), (v,)),
        (nodes(lambda x, v, i: indexing.put(x, i, v)), (x, v)),
    ):
        both = Both(f, *args, good)
        kept = [a.copy() for a in args]
        with pytest.raises(IndexError, match=text):
            both.run(*args, np.array([2, bad]))
        assert all(map(np.array_equal, args, kept))
        # The program is as good as before.
        assert_array_equal(both.run(*args, good)[0], both.reference(*args, good)[0])


def test_the_call_that_failed_is_told_from_the_others() -> None:
    both = Both(lambda x, y, i, j: (x[i], y[j]), normal(5), normal(9), INDEX[0], INDEX[0])
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 0 with size 9"):
        both.run(normal(5), normal(9), np.array([0, 1, 2]), np.array([0, 9, 2]))


def test_wide_scatters_are_the_same_bits_for_any_number_of_threads(two_threads: None) -> None:
    index = np.random.default_rng(0).integers(0, 50, 1000)
    v, x = normal(1000, 300), normal(50, 300)
    for f, args in (
        (nodes(lambda v, i: indexing.scatter_add(v, i, size=50)), (v, index)),
        (nodes(lambda v, x, i: indexing.put(x, i, v)), (v, x, index)),
    ):
        both = check(f, *args)
        parallel = both.run(*args)[0]
        threads.set_num_threads(1)
        assert_array_equal(parallel, both.run(*args)[0])
        threads.set_num_threads(2)


# ---------------------------------------------------------------------------------- arg-reductions


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("code", ["f8", "f4", "i8", "u1"])
def test_arg_reductions(name: str, axis: tuple[int, ...], code: str) -> None:
    prim = getattr(reductions, name)
    x = np.random.default_rng(1).integers(0, 4, (5, 6, 7)).astype(code)
    f = nodes(lambda x: prim(x, axis=axis, keepdims=False))
    check(f, x)
    if code[0] == "f":
        x[2, 3, 4] = x[2, 5, 6] = np.nan
        x[0, 0, 0] = np.inf
        check(f, x)
    check(lambda x: prim(x.T._node, axis=axis, keepdims=True), x)


def test_arg_reduction_of_a_view_and_of_a_vector() -> None:
    x = normal(6, 8)
    view = Both(lambda x: reductions.argmax(x[::-2, 1:].T._node, axis=(0,), keepdims=False), x)
    assert view.program.stats()["kernels"] == 0
    check(lambda x: reductions.argmin(x[::-2, 1:].T._node, axis=(1,), keepdims=False), x)
    check(nodes(lambda x: reductions.argmax(x, axis=(0,), keepdims=False)), normal(100_000))


# ------------------------------------------------------------------------------------- recurrences


@pytest.mark.parametrize("shape", [(7,), (5, 6, 7), (3, 0), (0, 3), (40, 300)], ids=str)
@pytest.mark.parametrize("reverse", [False, True])
def test_recurrences(shape: tuple[int, ...], reverse: bool) -> None:
    a, b = 0.5 * normal(*shape), normal(*shape)[..., ::-1].copy()
    for axis in range(len(shape)):
        run = nodes(lambda a, b, axis=axis: scans.recurrence(a, b, axis=axis, reverse=reverse))
        check(run, a, b)
        check(lambda a, b, run=run: run(a[..., ::-1], b[::-1]), a, b)
    check(run, a.astype("f4"), b.astype("f4"), rtol=1e-5)


def test_recurrences_side_by_side_do_not_depend_on_threads(two_threads: None) -> None:
    a, b = 0.5 * normal(200, 500), normal(200, 500)
    both = Both(nodes(lambda a, b: scans.recurrence(a, b, axis=0, reverse=False)), a, b)
    (parallel,) = both.run(a, b)
    threads.set_num_threads(1)
    assert_array_equal(parallel, both.run(a, b)[0])


# ------------------------------------------------------------------------------------------- whole


def test_a_training_step_is_one_frame() -> None:
    def loss(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, labels: Any) -> Any:
        scores = ng.relu(x @ w1 + b1) @ w2 + b2
        shifted = scores - ng.max(scores, axis=1, keepdims=True)
        flat = shifted.reshape(-1)[labels]
        return (ng.log(ng.exp(shifted).sum(axis=1)) - flat).mean()

    step = ng.value_and_grad(loss, argnums=(0, 1, 2, 3))
    shapes = ((20, 30), (30,), (30, 4), (4,), (16, 20))
    labels = 4 * np.arange(16) + np.random.default_rng(0).integers(0, 4, 16)
    check(lambda *xs: _flat(step(*xs)), *[normal(*s) for s in shapes], labels, rtol=1e-10)


def test_merged_stride() -> None:
    assert merged_stride((2, 3, 4), (12, 4, 1)) == 1
    assert merged_stride((2, 3, 4), (24, 8, 2)) == 2
    assert merged_stride((2, 3), (1, 2)) is None
    assert merged_stride((3, 1, 2), (-2, 99, -1)) == -1
    assert merged_stride((3, 2), (0, 0)) == 0
    assert merged_stride((), ()) == 0


def test_constants_may_be_operands() -> None:
    table = constant(normal(5, 2))
    both = Both(lambda i: indexing.take(table, i._node), INDEX[0] % 5)
    assert_array_equal(both.run(INDEX[0] % 5)[0], both.reference(INDEX[0] % 5)[0])
