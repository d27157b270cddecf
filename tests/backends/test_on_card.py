"""What only a card can show: ``NBGRAD_TEST_CUDA=auto pytest tests/backends/test_on_card.py``.

``python -m benchmarks.gpu`` runs these first. None of them was run yet: there was no card where they were written.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_programs import PROGRAMS, W, X
from numpy.testing import assert_allclose, assert_array_equal
from subprocesses import finish, run, start

import nbgrad as ng
from nbgrad.backends.cuda.runtime import runtime
from nbgrad.errors import DeviceMemoryError

CUDA = os.environ.get("NBGRAD_TEST_CUDA", "emulator")
pytestmark = pytest.mark.skipif(
    CUDA in ("emulator", "simulator"), reason="needs a card, and NBGRAD_TEST_CUDA=auto"
)


@pytest.fixture(autouse=True)
def _on_the_card() -> Iterator[None]:
    with ng.configure(cuda=CUDA):
        yield


def there(a: Any, **options: Any) -> ng.Tensor:
    return ng.tensor(a, device="cuda", **options)


def many(x: Any) -> Any:
    for _ in range(10):
        x = np.sin(x) * x.mean()
    return x


def test_several_launches_are_a_graph_with_the_same_bits() -> None:
    step, x = ng.jit(many), there(np.linspace(0.1, 1.0, 10_000))
    runs = [step(x).numpy() for _ in range(12)]
    for found in runs:
        assert_array_equal(found, runs[0])
    assert_allclose(runs[0], many(x.numpy()), rtol=1e-9)
    changed = [step(there(x.numpy() + k)).numpy() for k in range(12)]
    for k, found in enumerate(changed):
        assert_allclose(found, many(x.numpy() + k), rtol=1e-9)


def test_eight_threads() -> None:
    f = ng.jit(ng.value_and_grad(PROGRAMS["chain"], argnums=(0, 1)))
    x, w = there(X), there(W)
    expected = [y.numpy() for y in ng.tree.leaves(f(x, w))]
    failed: list[Any] = []

    def work() -> None:
        for k in range(200):
            found = ng.tree.leaves(f(x, w) if k % 2 else f(there(X), there(W)))
            for y, wanted in zip(found, expected, strict=True):
                if not np.array_equal(y.numpy(), wanted):
                    failed.append((k, y.numpy(), wanted))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_, np.complex128])
@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_001])
def test_transfers(size: int, dtype: Any) -> None:
    a = (np.arange(size) % 251).astype(dtype)
    assert_array_equal(there(a).numpy(), a)
    assert_array_equal((there(a) == there(a)).numpy(), np.ones(size, bool))


def test_no_room() -> None:
    x = there(np.ones(1000), requires_grad=True)
    with pytest.raises(DeviceMemoryError, match="nothing was changed"):
        ng.zeros(1 << 45, device="cuda").sum().item()
    (x * 3.0).sum().backward()
    assert x.grad is not None and x.grad[5].item() == 3.0
    assert runtime.store().lost is None


SCRIPT = """
import numpy as np
import nbgrad as ng
x = ng.tensor(np.linspace(0.1, 1.0, 1000), device="cuda", requires_grad=True)
(np.sin(x) * x).sum().backward()
assert np.allclose(x.grad.numpy(), np.sin(x.numpy(force=True)) + x.numpy(force=True) * np.cos(x.numpy(force=True)))
"""
UNCOMPILED = (
    SCRIPT
    + "\nimport sys\nassert 'numba.cuda' not in sys.modules and 'numba_cuda' not in sys.modules\n"
)
LOST = """
import numpy as np
import nbgrad as ng
from nbgrad.backends.cuda.runtime import runtime
x, home = ng.tensor(np.ones(100), device="cuda"), ng.tensor(np.ones(3))
store = runtime.store()
made = store.kernel("def spoil(at, m_i8):\\n    m_i8[at + (1 << 50)] = 1\\n", "spoil", ("i8",))
from nbgrad.backends.cuda.memory import Call
from nbgrad.backends.cuda.faults import guarded
guarded(store, store.sequence([Call(made, 1, 1, 0, ("i8",))], x._node.value.held))
for _ in range(2):
    try:
        x.numpy()
    except ng.errors.DeviceError as error:
        assert "is lost" in str(error) and "new process" in str(error), error
    else:
        raise AssertionError("nothing was said")
assert (home * 2).sum().item() == 6.0
"""


def test_kernels_on_disk_need_no_compiler(tmp_path: Path) -> None:
    run(SCRIPT, NBGRAD_CACHE_DIR=tmp_path, NBGRAD_CUDA=CUDA)
    if runtime.store().name == "cupy":
        run(UNCOMPILED, NBGRAD_CACHE_DIR=tmp_path, NBGRAD_CUDA=CUDA)


def test_two_processes(tmp_path: Path) -> None:
    both = [start(SCRIPT, NBGRAD_CACHE_DIR=tmp_path, NBGRAD_CUDA=CUDA) for _ in range(2)]
    for process in both:
        finish(process)


def test_a_lost_device() -> None:
    if runtime.store().name != "cupy":
        pytest.skip("launches by Numba alone")
    run(LOST, NBGRAD_CUDA=CUDA)


def test_other_libraries() -> None:
    cupy = pytest.importorskip("cupy")
    a = cupy.arange(6.0)
    x = ng.as_tensor(a)
    assert x.device == "cuda" and x.__cuda_array_interface__["data"][0] == a.data.ptr
    assert_array_equal((x * 2).numpy(), np.arange(6.0) * 2)
    assert_array_equal(cupy.asnumpy(cupy.asarray(x * 3)), np.arange(6.0) * 3)
    assert_array_equal(cupy.asnumpy(cupy.from_dlpack(x * 4)), np.arange(6.0) * 4)
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        t = torch.arange(6.0, device="cuda")
        assert_array_equal(ng.from_dlpack(t).numpy(), np.arange(6.0, dtype=np.float32))
        assert_array_equal(torch.from_dlpack(x * 5).cpu().numpy(), np.arange(6.0) * 5)


def test_times_and_memory_of_a_profile() -> None:
    x = there(np.ones(1 << 20))
    with ng.profile() as p:
        np.sin(x).sum().item()
    assert all(row.time > 0 for row in p.rows()) and p.device_peak >= x.nbytes
