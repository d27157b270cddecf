"""The executor: addresses, patches, tasks, status, and matrix products under the same ABI."""

from __future__ import annotations

import itertools
import sys
import timeit

import numpy as np
import pytest
from subprocesses import run

from nbgrad.backends.cpu import blas, executor
from nbgrad.backends.cpu.executor import Frame
from nbgrad.machine import threads
from nbgrad.machine.compile import compile_kernel

AXPY = """
def axpy(lo, hi, x, y, a):
    for i in range(lo, hi):
        y[i] = y[i] + a * x[i]
"""
# Writes which [lo, hi) each element was computed in, and so shows the tasks.
BOUNDS = """
def bounds(lo, hi, o):
    for i in range(lo, hi):
        o[i] = 1000 * lo + hi
"""
# Behind its arguments a kernel finds the bounds of each pointer, in the build that tests them: none
# is known of what is laid out by hand.
UNKNOWN = [0] * 10


@pytest.fixture
def axpy():
    return compile_kernel(AXPY, "axpy", ("f8*", "f8*", "f8"))


def bits(value):
    return int(np.float64(value).view(np.int64))


def test_layout_of_this_python_is_known():
    list_items, array_data = executor.object_layout()
    assert list_items and array_data


def test_patches_and_scalars(axpy):
    patches = [(0, 0, 0), (1, 1, 16)]
    frame = Frame(2, [], patches, [(axpy.address, 3, 0, 0)], [0, 0, bits(2.0), *UNKNOWN])
    for start in (0.0, 5.0):
        x, y = np.arange(3.0), np.full(6, start)
        assert frame.run([x, y]) == 0
        assert np.array_equal(y, start + np.array([0, 0, 0, 2, 4, 0]))
    frame.args[2] = bits(-1.0)
    frame.run([x, y])
    assert np.array_equal(y, 5.0 + np.array([0, 0, 0, 1, 2, 0]))


def test_further_bases_and_several_instructions(axpy):
    arena = np.zeros(8)
    patches = [(0, 0, 0), (1, 1, 8), (20, 1, 8), (21, 1, 40)]
    instructions = [(axpy.address, 3, 0, 0), (axpy.address, 3, 0, 20)]
    args = [0, 0, bits(1.0), *UNKNOWN, *[0] * 9, bits(10.0), *UNKNOWN]
    frame = Frame(1, [arena.ctypes.data], patches, instructions, args)
    frame.run([np.array([1.0, 2.0, 3.0])])
    assert arena.tolist() == [0, 1, 2, 3, 0, 10, 20, 30]


def test_a_program_of_nothing():
    assert Frame(0, [], [], [], []).run([]) == 0


def test_copies_run_on_their_own(axpy):
    frame = Frame(
        2, [], [(0, 0, 0), (1, 1, 0)], [(axpy.address, 2, 0, 0)], [0, 0, bits(1.0), *UNKNOWN]
    )
    other = frame.copy()
    other.args[2] = bits(3.0)
    x, y, z = np.ones(2), np.zeros(2), np.zeros(2)
    frame.run([x, y])
    other.run([x, z])
    assert y.tolist() == [1, 1] and z.tolist() == [3, 3]
    assert other.status_address != frame.status_address


def test_kernels_may_report_an_error():
    source = """
def check(lo, hi, x, status):
    for i in range(lo, hi):
        if x[i] < 0.0:
            status[0] = i + 1
"""
    check = compile_kernel(source, "check", ("f8*", "i8*"))
    frame = Frame(1, [], [(0, 0, 0)], [(check.address, 3, 0, 0)], [0, 0, *UNKNOWN])
    frame.args[1] = frame.status_address
    assert frame.run([np.array([1.0, -1.0, 1.0])]) == 2
    assert frame.run([np.array([1.0, 1.0, 1.0])]) == 0


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("n", "grain"), [(10, 3), (9, 3), (3, 3), (2, 3), (7, 1), (5, 0), (0, 4)])
def test_tasks_are_the_same_for_any_number_of_threads(n, grain, count):
    kernel = compile_kernel(BOUNDS, "bounds", ("i8*",))
    o = np.full(n + 1, -1)
    frame = Frame(1, [], [(0, 0, 0)], [(kernel.address, n, grain, 0)], [0, *UNKNOWN])
    before = threads.get_num_threads()
    threads.set_num_threads(min(count, threads.max_threads()))
    try:
        frame.run([o])
    finally:
        threads.set_num_threads(before)
    step = grain or n
    expected = [1000 * (i // step * step) + min(i // step * step + step, n) for i in range(n)]
    assert o.tolist() == [*expected, -1]


def test_unknown_layout_falls_back_to_python(axpy, monkeypatch):
    monkeypatch.setattr(executor, "object_layout", lambda: (0, 0))
    frame = Frame(
        2, [], [(0, 0, 0), (1, 1, 0)], [(axpy.address, 2, 0, 0)], [0, 0, bits(1.0), *UNKNOWN]
    )
    for _ in range(2):
        x, y = np.ones(2), np.zeros(2)
        frame.run([x, y])
        assert y.tolist() == [1, 1]


def test_a_cached_program_runs_without_numba(tmp_path):
    text = """
        k = multiply()
        x, o = np.arange(8.0), np.zeros(8)
        threads.set_num_threads(1)
        frame(k, 8, 3).run([x, x, o])
        assert (o == x * x + 1).all()
        print("nbgrad.machine.object_code" in sys.modules)
    """
    assert run(text, NBGRAD_CACHE_DIR=tmp_path).split() == ["True"]
    assert run(text, NBGRAD_CACHE_DIR=tmp_path).split() == ["False"]


TOLERANCE = {"f8": 1e-12, "f4": 1e-4, "c16": 1e-12, "c8": 1e-4}


def random(code, *shape):
    rng = np.random.default_rng(sum(shape))
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if code[0] == "c" else x).astype(code)


def stored(code, batch, rows, cols, flag):
    """A batch of matrices as they lie in memory, and what the flag makes of them."""
    x = random(code, batch, rows, cols) if flag == 0 else random(code, batch, cols, rows)
    seen = x if flag == 0 else x.swapaxes(1, 2)
    return x, seen.conj() if flag == 2 else seen


@pytest.mark.parametrize(
    ("m", "n", "k"),
    [(3, 4, 5), (20, 30, 40), (1, 9, 17), (9, 1, 17), (1, 1, 17), (9, 17, 1), (3, 40, 0)],
)
@pytest.mark.parametrize("code", ["f8", "f4", "c16", "c8"])
def test_gemm_is_numpys_product(code, m, n, k):
    routines = blas.gemm_routines(code)
    for flag_a, flag_b, add in itertools.product((0, 1, 2), (0, 1, 2), (0, 1)):
        a, left = stored(code, 3, m, k, flag_a)
        b, right = stored(code, 3, k, n, flag_b)
        c = random(code, 3, m, n)
        expected = left @ right + add * c
        lds = [max(1, x.shape[2]) for x in (c, a, b)]
        table = [*routines, 0, 0, 0, m, n, k, *lds, flag_a, flag_b]
        table += [c[0].size, a[0].size, b[0].size, add, *UNKNOWN]
        form = blas.product_form(m, n, k, flag_a, flag_b, max(lds))
        kernel = blas.gemm_kernel(code, form)
        frame = Frame(3, [], [(2, 0, 0), (3, 1, 0), (4, 2, 0)], [(kernel.address, 3, 1, 0)], table)
        with blas.blas_threads(1):
            frame.run([c, a, b])
        np.testing.assert_allclose(c, expected, rtol=TOLERANCE[code], atol=TOLERANCE[code])


@pytest.mark.parametrize("code", ["f8", "f4"])
def test_products_with_one_long_side_go_by_tiles(code):
    for short, other, long, add in ((7, 10, 101, 0), (1, 3, 64, 1), (16, 2, 77, 1)):
        for form, flag_b, (m, n, k) in (
            ("wide", 0, (short, long, other)),
            ("dots", 1, (short, other, long)),
        ):
            for flag_a in (0, 1) if form == "wide" else (0,):
                a, left = stored(code, 3, m, k, flag_a)
                b, right = stored(code, 3, k, n, flag_b)
                c = random(code, 3, m, n)
                expected = left @ right + add * c
                table = [
                    0,
                    0,
                    *[x.ctypes.data for x in (c, a, b)],
                    m,
                    n,
                    k,
                    *[x.shape[2] for x in (c, a, b)],
                ]
                table += [flag_a, flag_b, c[0].size, a[0].size, b[0].size, add]
                if short > 1:
                    assert blas.product_form(m, n, k, flag_a, flag_b, 101, True) == form
                blas.gemm_kernel(code, form)(0, 3, np.array(table, np.int64))
                np.testing.assert_allclose(c, expected, rtol=TOLERANCE[code], atol=TOLERANCE[code])


def test_one_matrix_times_a_batch():
    a, b, c = random("f8", 10, 12), random("f8", 4, 12, 9), np.zeros((4, 10, 9))
    table = [
        *blas.gemm_routines("f8"),
        0,
        0,
        0,
        10,
        9,
        12,
        9,
        12,
        9,
        0,
        0,
        90,
        0,
        108,
        0,
        *UNKNOWN,
    ]
    kernel = blas.gemm_kernel("f8", "gemm")
    patches = [(2, 0, 0), (3, 1, 0), (4, 2, 0)]
    Frame(3, [], patches, [(kernel.address, 4, 0, 0)], table).run([c, a, b])
    np.testing.assert_allclose(c, a @ b, rtol=1e-12)


def test_what_blas_can_read_in_place():
    x = np.arange(40.0).reshape(5, 8)
    views = [x, x.T, x[:, :3], x[::2], x[1:4, 2:5].T, x[:1], x[:, :1], x[::2, :1], x[:1, ::2]]
    views += [x[:1, :1], x.T[:1], np.asfortranarray(x)]
    for view in views:
        strides = [s // 8 for s in view.strides]
        found = blas.operand(*view.shape, *strides)
        assert found is not None, (view.shape, strides)
        ld, flag = found
        rows, cols = view.shape
        steps = (ld, 1) if flag == 0 else (1, ld)
        for i, j in itertools.product(range(rows), range(cols)):
            assert i * steps[0] + j * steps[1] == i * strides[0] + j * strides[1]
        assert ld >= (cols if flag == 0 else rows)
    for view in (x[:, ::2], x[::-1], np.broadcast_to(x[0], (5, 8)), x[:, ::-1]):
        assert blas.operand(*view.shape, *(s // 8 for s in view.strides)) is None


def test_small_products_and_long_rows_loop():
    assert blas.product_form(4, 3, 4, 0, 0, 4) == "loop"
    assert blas.product_form(4, 4, 4, 0, 0, 4) == "gemm"
    assert blas.product_form(1, 50, 50, 0, 2, 50) == "gemv"
    assert blas.product_form(1, 50, 50, 2, 0, 50) == "gemm"
    assert blas.product_form(50, 50, 50, 0, 0, 2**31) == "loop"


def test_blas_threads_come_back():
    functions = blas._thread_functions()
    if functions is None:
        pytest.skip("SciPy's BLAS has no such setting here")
    before = functions[0]()
    with blas.blas_threads(1):
        assert functions[0]() == 1
    assert functions[0]() == before


@pytest.mark.skipif(sys.platform != "linux", reason="timing is only looked at where it is known")
def test_a_run_is_cheap():
    """A few times the measured 0.5 µs: enough to notice a slow path, not a busy machine."""
    kernel = compile_kernel(AXPY, "axpy", ("f8*", "f8*", "f8"))
    frame = Frame(2, [], [(0, 0, 0), (1, 1, 0)], [(kernel.address, 2, 0, 0)], [0, 0, 0, *UNKNOWN])
    values = [np.ones(2), np.zeros(2)]
    assert min(timeit.repeat(lambda: frame.run(values), number=1000, repeat=5)) < 5e-3
