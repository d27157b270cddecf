"""Numba's thread pool: same bits for any number of threads, and nothing that can crash."""

from __future__ import annotations

import os

import numpy as np
import pytest
from subprocesses import run

from nbgrad.backends.cpu.executor import Frame
from nbgrad.machine import threads
from nbgrad.machine.compile import compile_kernel

LAYERS = ["omp", "workqueue"]
PARALLEL_RUN = """
    k = multiply()
    x, o = np.arange(1000.0), np.zeros(1000)
    f = frame(k, 1000, 64)
    f.run([x, x, o])
    assert (o == x * x + 1).all()
"""


@pytest.fixture
def restored():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def need(layer):
    """Skip where Numba has no such layer."""
    if layer == "omp":
        pytest.importorskip("numba.np.ufunc.omppool")


@pytest.mark.usefixtures("restored")
def test_the_number_of_threads():
    most = threads.max_threads()
    assert 1 <= threads.get_num_threads() <= most
    threads.set_num_threads(1)
    assert threads.get_num_threads() == 1
    threads.set_num_threads(np.int64(most))
    assert threads.get_num_threads() == most
    for wrong in (0, -1, most + 1):
        with pytest.raises(ValueError, match=f"between 1 and {most}, not {wrong}"):
            threads.set_num_threads(wrong)
    for wrong in (1.0, "2", True):
        with pytest.raises(TypeError, match="must be an integer"):
            threads.set_num_threads(wrong)


@pytest.mark.parametrize(
    ("numba", "openmp", "expected"),
    [
        ("3", "", "3 3"),
        ("4", "2", "4 2"),
        ("4", "2,1", "4 2"),
        ("2", "8", "2 2"),
        ("4", "x", "4 4"),
    ],
)
def test_the_environment_is_respected(numba, openmp, expected):
    text = "print(threads.max_threads(), threads.get_num_threads())"
    assert run(text, NUMBA_NUM_THREADS=numba, OMP_NUM_THREADS=openmp).strip() == expected


def test_no_thread_and_no_numba_at_import():
    run(
        """
        import threading
        assert threading.active_count() == 1 and threads.threading_layer() == ""
        if os.path.exists("/proc/self/task"):
            assert len(os.listdir("/proc/self/task")) == 1
        assert "numba" not in sys.modules
    """,
        OPENBLAS_NUM_THREADS=1,
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_computes_the_right_thing(layer):
    need(layer)
    text = PARALLEL_RUN + "    print(threads.threading_layer())"
    assert run(text, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2).strip() == layer


@pytest.mark.usefixtures("restored")
def test_sums_have_the_same_bits_for_any_number_of_threads():
    source = """
def partial_sums(lo, hi, x, grain, o):
    total = 0.0
    for i in range(lo, hi):
        total = reduce_add(total, x[i])
    o[lo // grain] = total
"""
    kernel = compile_kernel(source, "partial_sums", ("f8*", "i8", "f8*"))
    n, grain = 100_000, 4096
    x = np.random.default_rng(1).standard_normal(n)
    patches, rows = [(0, 0, 0), (2, 1, 0)], [(kernel.address, n, grain, 0)]
    frame = Frame(2, [], patches, rows, [0, grain, 0, *[0] * 4])
    found = set()
    for count in range(1, threads.max_threads() + 1):
        threads.set_num_threads(count)
        for _ in range(20):
            o = np.zeros(n // grain + 1)
            frame.run([x, o])
            found.add(o.tobytes())
    assert len(found) == 1
    assert np.isclose(o.sum(), x.sum())


@pytest.mark.parametrize("layer", LAYERS)
def test_eight_python_threads_at_once(layer):
    need(layer)
    text = (
        PARALLEL_RUN
        + """
    import threading
    failures = []
    def work(seed):
        mine = f.copy()
        x = np.random.default_rng(seed).standard_normal(1000)
        for _ in range(200):
            o = np.zeros(1000)
            mine.run([x, x, o])
            # Numba's own kernels contract the multiplication and the addition.
            if not np.allclose(o, x * x + 1, rtol=1e-14):
                failures.append(seed)
    workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    print("done")
    """
    )
    output = run(text, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2)
    assert output.strip() == "done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_forked_child_computes_the_right_thing(layer):
    need(layer)
    text = (
        PARALLEL_RUN
        + f"""
    layer = {layer!r}
    import signal, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        o[:] = 0
        f.run([x, x, o])
        assert (threads.get_num_threads() == 1) == (layer == "omp")
        os._exit(0 if (o == x * x + 1).all() else 3)
    assert os.waitpid(child, 0)[1] == 0
    o[:] = 0
    f.run([x, x, o])
    assert (o == x * x + 1).all() and threads.get_num_threads() == 2
    print("done")
    """
    )
    output = run(text, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=2)
    assert output.strip() == "done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_compiles():
    run("""
    import signal, threading, warnings
    from nbgrad.core import forks
    warnings.simplefilter("ignore", DeprecationWarning)
    k = multiply()
    f = frame(k, 8, 0)
    held = threading.Event()
    def hold():
        with forks.compiling:
            held.set()
            threading.Event().wait(2)
    worker = threading.Thread(target=hold, daemon=True)
    worker.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        text = MULTIPLY.replace("1.0", "2.0")
        again = compile_kernel(text, "multiply", ("f8*",) * 3)
        x, o = np.ones(8), np.zeros(8)
        frame(again, 8, 0).run([x, x, o])
        os._exit(0 if (o == 3).all() else 3)
    assert os.waitpid(child, 0)[1] == 0
    """)


def test_a_busy_workqueue_is_not_waited_for():
    run(
        """
    k = multiply()
    x, o = np.arange(100.0), np.zeros(100)
    f = frame(k, 100, 9)
    with threads.pool() as (launch, count):
        assert launch and count == 2
        with threads.pool() as second:
            assert second == (0, 1)
        f.run([x, x, o])
    assert (o == x * x + 1).all()
    with threads.pool() as (launch, count):
        assert launch
    """,
        NUMBA_THREADING_LAYER="workqueue",
        NUMBA_NUM_THREADS=2,
        OMP_NUM_THREADS=2,
    )
