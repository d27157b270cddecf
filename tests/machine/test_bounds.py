"""The build of machine code that tests each access: it finds faults, and finds none in ours."""

from __future__ import annotations

import signal

import pytest
from subprocesses import run, start

from nbgrad.machine import bounds

PROGRAMS = """
import nbgrad as ng
assert ng.machine.bounds.ON
rng = np.random.default_rng(0)
w, x, index = rng.normal(size=(5, 4)), rng.normal(size=(9, 5)), rng.integers(-9, 9, 6)

def loss(w, x):
    h = np.tanh(x @ w)
    rows = np.concatenate([h[index], h[1:, ::-1], np.pad(h[2:4], ((0, 1), (0, 0)))])
    batch = (x[:, :, None] * w).sum(axis=1) @ np.ones((2, 4, 3))
    return (rows * rows).sum(axis=0).mean() + x[1:, 2].sum() + np.linalg.norm(batch) + h.max()

def solved(w, x):
    a = x.T @ x + np.eye(5)
    values, vectors = np.linalg.eigh(a)
    triangle = np.linalg.cholesky(a)
    found = np.linalg.solve(a, w).sum() + triangle.sum() + np.cumsum(x, axis=0).mean()
    found = found + ng.linalg.solve_triangular(triangle, w, lower=True).sum()
    (q, r), (u, s, vh) = np.linalg.qr(x), np.linalg.svd(x, full_matrices=False)
    found = found + (q @ r + (u * s) @ vh).sum() + np.linalg.svd(w)[0][:, 0].sum()
    found = found + np.linalg.slogdet(a)[1] + np.linalg.inv(a).sum() + np.linalg.det(x[:5])
    found = found + np.linalg.inv(x[:5] + 9 * np.eye(5)).sum() + np.linalg.svd(w, compute_uv=False)[0]
    return found + (values * vectors**2).sum() + np.linalg.eigvalsh(a)[0]

for tier in ("block", "fused", "auto"):
    with ng.configure(tier=tier):
        for f in (loss, solved):
            g = ng.jit(ng.value_and_grad(f))
            t = ng.tensor(w, requires_grad=True)
            for _ in range(60 if tier == "auto" else 2):
                y = f(t, x)
                y.backward()
                value, gradient = g(w, x)
            assert abs(value - y.item()) < 1e-9

x, bound = ng.tensor(0.3), ng.tensor(0.5)
with ng.configure(tier="fused"):  # values read by machine code, kept or not
    for _ in range(300):
        x = x * 0.7 if x > bound else x * 1.3 + 1
        y = x * 2.0
        (y + 1.0).item()
t = ng.tensor(w, requires_grad=True)
for _ in range(300):  # and views, of which some are held
    v, d = t.T[1:], t.detach()
    held = [v, d.T, d.detach(), t.reshape(-1), t[0, 1]]
"""


THREADS = """
import threading
import nbgrad as ng
sys.setswitchinterval(1e-5)
a = np.linspace(0.1, 1.0, 30)
f = ng.jit(ng.value_and_grad(lambda v: (np.sin(v) * np.exp(v)).sum()))
for _ in range(60):
    wanted = [f(a * s)[1] for s in range(4)]
wrong = []
def work(s):
    for _ in range(100):
        x = ng.tensor(a * s, requires_grad=True)
        (ng.sin(x) * ng.exp(x)).sum().backward()
        if not np.allclose(x.grad.numpy(), wanted[s], rtol=1e-13, atol=0): wrong.append(s)
        if not np.array_equal(f(a * s)[1], wanted[s]): wrong.append(s)
threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert not wrong, wrong
"""


def report(text: str) -> str:
    process = start(text, NBGRAD_BOUNDS=1, NBGRAD_DETERMINISTIC=1)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGABRT, errors
    return errors


def test_our_programs_stay_in_bounds() -> None:
    run(PROGRAMS, NBGRAD_BOUNDS=1, NBGRAD_DETERMINISTIC=1)


def test_threads_share_machine_code_in_that_build() -> None:
    """A test runs no Python, which would let another thread in where machine code counts on none."""
    run(THREADS, NBGRAD_BOUNDS=1, NBGRAD_DETERMINISTIC=1)


@pytest.mark.parametrize(
    ("index", "said"),
    [("i + 1", "shift: x[i + 1]: index 5"), ("i - 1", "shift: x[i - 1]: index -1")],
)
def test_an_element_beyond_a_buffer_is_reported(index: str, said: str) -> None:
    errors = report(
        f"""
        text = "def shift(lo, hi, x, o):\\n    for i in range(lo, hi):\\n        o[i] = x[{index}]\\n"
        kernel = compile_kernel(text, "shift", ("f8*", "f8*"))
        x, o = np.arange(5.0), np.zeros(5)
        given = np.array([x.ctypes.data, o.ctypes.data, 0, 40, 0, 40])
        kernel(0, 5, given)
        """
    )
    assert f"out of bounds: {said} of elements of 8 bytes, in bytes 0 to 40" in errors


def test_a_word_in_no_known_memory_is_reported() -> None:
    errors = report(
        """
        f = Frame(0, [], [], [], [])
        f.words[4], f.words[5] = 1, 10**6  # one instruction, far away
        f.run([])
        """
    )
    assert "out of bounds: nbgrad_execute: row[1]: word 1 " in errors


def test_a_word_beyond_an_object_is_reported() -> None:
    """The walk with a wrong idea of where nodes keep what it reads."""
    errors = report(
        """
        import nbgrad as ng
        from nbgrad.twins import capture as walk
        places = walk.places() | {"value": 400}
        walk.places = lambda: places
        walk.install()
        (ng.ones(3, requires_grad=True) * 2.0).sum().item()
        """
    )
    assert "out of bounds: nbgrad_walk: " in errors


def test_an_operand_of_blas_beyond_a_buffer_is_reported() -> None:
    """Of each operand, the first element and the last one."""
    errors = report(
        """
        from nbgrad.backends.cpu import blas
        m, n, k = 8, 9, 10
        a, b, c = np.ones((m, k)), np.ones((k, n)), np.zeros((m, n))
        words = (m, n, k, n, k, n, 0, 0, m * n, m * k, k * n, 0)
        ends = (0, 0, 0, 0, 0, c.nbytes, 0, a.nbytes, 0, b.nbytes)
        kernel = blas.gemm_kernel("f8")
        given = [*blas.gemm_routines("f8"), c.ctypes.data, a.ctypes.data, b.ctypes.data, *words]
        kernel(0, 1, np.array([*given, *ends]))
        assert (c == k).all()
        kernel(0, 1, np.array([*given, *ends[:-1], b.nbytes - 8]))
        """
    )
    assert "out of bounds: gemm_f8: b[t * step_b" in errors and "index 89 of elements" in errors


@pytest.mark.parametrize(
    ("kind", "read"),
    [("list", "load_pointer(x, {list_items})"), ("tuple", "offset_words(x, {items})")],
)
def test_an_item_beyond_a_list_is_reported(kind: str, read: str) -> None:
    errors = report(
        f"""
        import ctypes
        from nbgrad.machine import builtin, layout
        from nbgrad.machine.compile import native
        text = "def peek(x, k):\\n    items = {read}\\n    return items[k]"
        code, _ = native(text.format(**layout.containers()), "peek", ("i8*", "i8"), result="i8")
        made = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.py_object, ctypes.c_int64)
        peek, given = made(code.address), {kind}([object() for _ in range(3)])
        assert peek(given, 2) == id(given[2])
        peek(given, 3)
        """
    )
    assert (
        "out of bounds: peek: items[k]: index 3 of elements of 8 bytes, in bytes 0 to 24" in errors
    )


@pytest.mark.skipif(bounds.ON, reason="this is the other build")
def test_the_usual_build_is_as_it_was() -> None:
    assert not bounds.ON and not bounds.imports()
    source, params = bounds.instrumented(
        "def f(lo, hi, x, n):\n    x[n] = x[lo] + 1\n", "f", ("i8", "i8", "f4*", "i8"), None
    )
    assert params == ("i8", "i8", "f4*", "i8", "i8", "i8")
    assert "def f(lo, hi, x, n, x__lo, x__hi):" in source
    assert source.count("checked_element(") == 2
