"""Tensors on a device, by the emulator: the same programs, and nothing goes to the host in silence."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from device_programs import PROGRAMS, W, X
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.backends.cuda.emulated import EmulatedStore
from nbgrad.backends.cuda.program import release
from nbgrad.backends.cuda.runtime import runtime
from nbgrad.core.memory import Buffer


@pytest.fixture(autouse=True)
def _emulated() -> Iterator[None]:
    with ng.configure(cuda=CUDA):
        yield


CUDA = os.environ.get("NBGRAD_TEST_CUDA", "emulator")  # "auto" where there is a card


def there(a: Any, **options: Any) -> ng.Tensor:
    return ng.tensor(a, device="cuda", **options)


def store() -> EmulatedStore:
    found = runtime.store()
    if not isinstance(found, EmulatedStore):
        pytest.skip("asks the emulator what it counted")
    return found


def test_where_tensors_are() -> None:
    x = there(X)
    assert x.device == "cuda" and isinstance(x._node.value, Buffer)
    assert x.to("cuda") is x and x.cuda() is x and x.to("cuda:0") is x and x.to_device("cuda") is x
    home = x.cpu()
    assert home.device == "cpu" and home._node.value.__class__ is np.ndarray
    assert_array_equal(home.numpy(), X)
    back = home.to(device="cuda", dtype=np.float32)
    assert back.device == "cuda" and back.dtype == np.float32
    assert home.to(back).device == "cuda" and home.to(back).dtype == np.float32
    assert (x * 2 + 1).sum(0)[1].device == "cuda"
    assert np.sin(x).device == ng.zeros_like(x).to(x).device == "cuda"
    assert repr(there([1.0, 2.0])) == "tensor([1., 2.], device='cuda')"
    assert repr(there([1.0], requires_grad=True)) == (
        "tensor([1.], device='cuda', requires_grad=True)"
    )


def test_values_come_home_when_they_are_asked_for() -> None:
    x = there(X)
    assert_array_equal(x.numpy(), X)
    assert_array_equal(np.asarray(x), X)
    assert x.tolist() == X.tolist() and x[0, 0].item() == X[0, 0] and float(x[1, 2]) == X[1, 2]
    assert bool((x > 0).all()) and [float(v) for v in x[0]] == X[0].tolist()
    with pytest.raises(ValueError, match=r"numpy\(copy=False\).*'cuda'.*numpy\(\), which copies"):
        x.numpy(copy=False)
    a = x.numpy()
    a[0] = 9.0
    assert_array_equal(x.numpy(), X)
    with pytest.raises(TypeError, match=r"host\(\), and not in silence"):
        np.asarray(x._node.value)


def test_operations_stay_on_the_device() -> None:
    x, w = there(X), there(W)
    store().counts.clear()
    y = (np.exp(x) @ w - x.mean(0)).reshape(3, 2).T
    z = ng.concatenate([y, y * 2.0], axis=1)[:, ::2].sum()
    assert z.device == "cuda"
    value = z.item()
    counts = store().counts
    assert counts["out"] == 1 and counts["in"] == 0 and counts["launches"] > 0
    y = (np.exp(X) @ W - X.mean(0)).reshape(3, 2).T
    assert_allclose(value, np.concatenate([y, y * 2.0], axis=1)[:, ::2].sum(), rtol=1e-14)


@pytest.mark.parametrize("tier", ["auto", "reference"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_are_those_of_home(name: str, tier: str) -> None:
    with ng.configure(tier=tier):
        _values_and_gradients(PROGRAMS[name])


def _values_and_gradients(f: Callable[..., Any]) -> None:
    home = [ng.tensor(a, requires_grad=True) for a in (X, W)]
    away = [there(a, requires_grad=True) for a in (X, W)]
    expected, found = f(*home), f(*away)
    expected.backward()
    found.backward()
    assert found.device == "cuda"
    assert_allclose(found.numpy(force=True), expected.numpy(force=True), rtol=1e-13)
    for a, b in zip(home, away, strict=True):
        assert a.grad is not None and b.grad is not None and b.grad.device == "cuda"
        assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-12, atol=1e-13)


TRANSFORMS: dict[str, Callable[..., Any]] = {
    "grad": lambda f: ng.grad(f, argnums=(0, 1)),
    "value_and_grad": lambda f: ng.value_and_grad(f),
    "jit": ng.jit,
    "jit of grad": lambda f: ng.jit(ng.grad(f)),
    "vmap": lambda f: ng.vmap(lambda x, w: f(x[None], w), in_axes=(0, None)),
    "jacobian": lambda f: ng.jacobian(lambda x, w: f(x, w) * x[0]),
    "hessian": ng.hessian,
    "jvp": lambda f: lambda x, w: ng.jvp(f, (x, w), (x, w)),
    "vjp": lambda f: lambda x, w: ng.vjp(f, x, w)[1](ng.ones_like(f(x, w))),
    "checkpoint": lambda f: ng.grad(ng.checkpoint(f)),
    "second": lambda f: ng.grad(lambda x, w: ng.grad(f)(x, w)[0].sum()),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["chain", "products", "scan"])
def test_functions_of_functions(name: str, transform: str) -> None:
    f = TRANSFORMS[transform](PROGRAMS[name])
    expected, found = f(ng.tensor(X), ng.tensor(W)), f(there(X), there(W))
    pairs = zip(ng.tree.leaves(found), ng.tree.leaves(expected), strict=True)
    for y, wanted in pairs:
        assert y.device == "cuda"
        assert_allclose(y.numpy(), wanted.numpy(), rtol=1e-11, atol=1e-12)


def test_a_steady_state_takes_no_memory_but_its_results() -> None:
    step = ng.jit(lambda x, w, lr: x - lr * np.tanh(x @ w) * (x + 1).sum(0))
    x, w = there(X), there(W)
    for _ in range(3):
        x = step(x, w, 0.1)
    counts, used = store().counts, store().used
    counts.clear()
    for k in range(5):
        x = step(x, w, 0.1 * k)
    assert counts["out"] == counts["in"] == 0 and store().used == used
    home = X
    for lr in [0.1] * 3 + [0.1 * k for k in range(5)]:
        home = home - lr * np.tanh(home @ W) * (home + 1).sum(0)
    assert_allclose(x.numpy(), home, rtol=1e-13)


def test_no_room_on_the_device_changes_nothing() -> None:
    small = EmulatedStore("small", room=4096)
    with pytest.raises(
        ng.errors.DeviceMemoryError, match=r"no room for 8000 bytes \(of 4096, 4096"
    ):
        small.copied_in(np.zeros(1000))
    assert small.used == 0
    x = there(np.ones(100), requires_grad=True)
    release()
    before, store().room = store().room, store().used + 700
    try:
        with pytest.raises(MemoryError, match="no room for"):
            (x * 2 + x.sum()).numpy(force=True)
        y = (x * 3).sum()
        assert y.item() == 300.0
    finally:
        store().room = before
    assert (x * 2 + x.sum()).sum().item() == 200.0 + 100 * 100.0
    y.backward()
    assert x.grad is not None and x.grad[5].item() == 3.0


def test_operands_on_two_devices() -> None:
    x, home = there(X), ng.tensor(X)
    for f in (np.add, lambda a, b: a * b, lambda a, b: ng.concatenate([a, b]), np.maximum):
        with pytest.raises(ng.errors.DeviceError, match=r"'cuda'.*'cpu'|'cpu'.*'cuda'") as caught:
            f(x, home * 2.0)
        assert "Move them" in str(caught.value)
        assert f(x, home.cuda()).device == f(x, X).device == "cuda"
    with pytest.raises(ng.errors.DeviceError):
        x += home
    assert_array_equal(x.numpy(), X)
    assert_array_equal((x * ng.tensor(2.0)).numpy(), X * 2)  # a number
    assert_array_equal((x + ng.ones((2, 3))).numpy(), X + 1)  # of no place yet
    for _ in range(50):  # also where machine code records
        with pytest.raises(ng.errors.DeviceError):
            _ = x * home.detach()


def test_gradients_cross_from_one_device_to_another() -> None:
    w = ng.tensor(X, requires_grad=True)
    y = (w.cuda() ** 2 * 3.0).cpu().sum()
    assert y.device == "cpu"
    y.backward()
    assert w.grad is not None and w.grad.device == "cpu"
    assert_allclose(w.grad.numpy(), 6 * X)
    with ng.no_grad():
        assert w.cuda().grad_fn is None


def test_copies_and_pickles_go_through_the_host() -> None:
    x = there(X, requires_grad=True)
    (x * x).sum().backward()
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), copy.copy(x)):
        assert y.device == "cuda" and y.requires_grad and y.grad is not None
        assert_array_equal(y.grad.numpy(), 2 * X)


def test_writing_in_place_and_views() -> None:
    x = there(X.copy())
    v = x[1]
    v += 1.0
    x[0, 1] = 9.0
    x.mul_(2.0)
    expected = X.copy()
    expected[1] += 1.0
    expected[0, 1] = 9.0
    expected *= 2.0
    assert x.device == v.device == "cuda"
    assert_allclose(x.numpy(), expected)
    assert_allclose(v.numpy(), expected[1])
    x[:] = np.zeros(3)
    assert_array_equal(v.numpy(), np.zeros(3))


def test_hooks_functions_anomalies_and_training() -> None:
    class Cube(ng.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            assert g.device == x.device == "cuda"
            return 3 * x * x * g

    x = there(X, requires_grad=True)
    seen: list[Any] = []
    y = Cube.apply(x)
    y.register_hook(lambda g: seen.append(g.device))
    for _ in range(3):
        Cube.apply(x).sum().backward()
    y.sum().backward()
    assert x.grad is not None and seen == ["cuda"]
    assert_allclose(x.grad.numpy(), 4 * 3 * X * X)
    with ng.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="log"):
        ng.log(x - 5.0).sum().backward()
    found = []
    for a in (X, there(X)):
        w = ng.as_tensor(a)[0].detach().clone().requires_grad_()
        for _ in range(5):
            w.grad = None
            ((a @ w - 1.0) ** 2).sum().backward()
            with ng.no_grad():
                w -= 0.1 * w.grad
        found.append(w)
    assert found[1].device == "cuda"
    assert_allclose(found[1].numpy(force=True), found[0].numpy(force=True), rtol=1e-12)


@pytest.mark.parametrize("make", [ng.zeros, ng.ones, ng.empty])
def test_makers_take_a_device(make: Any) -> None:
    assert make((2, 3), device="cuda").device == "cuda" and make(2, device="cpu").device == "cpu"
    assert (
        ng.arange(3, device="cuda").device == ng.linspace(0, 1, 3, device="cuda").device == "cuda"
    )
    assert ng.full(2, 7.0, device="cuda").device == ng.eye(2, device="cuda").device == "cuda"
    assert ng.numpy.asarray([1.0], device="cuda").device == "cuda"
    assert ng.zeros_like(there(X)).device == ng.full_like(there(X), 2.0).device == "cuda"
    with pytest.raises(ValueError, match="'tpu'; there are 'cpu', 'cuda'"):
        make(2, device="tpu")


def test_what_is_missing_is_said() -> None:
    with ng.configure(cuda="numba-cuda"), pytest.raises(ng.errors.DeviceError) as caught:
        there(X)
    assert 'pip install "nbgrad[cuda]"' in str(caught.value)
    with pytest.raises(ValueError, match="cuda must be one of"):
        ng.configure(cuda="opencl")


def test_a_fork_of_a_process_that_used_the_card() -> None:
    there(X)
    store = runtime.store()
    try:
        store.process = -1  # as if another process had opened it
        with pytest.raises(
            ng.errors.DeviceError, match=r"child by fork.*set_start_method\(.spawn"
        ):
            there(X)
    finally:
        store.process = os.getpid()


def test_eight_threads() -> None:
    f = ng.jit(ng.value_and_grad(lambda x, w: np.tanh(x @ w).sum()))
    expected = [v.numpy() for v in f(there(X), there(W))]
    results: list[Any] = []

    def work() -> None:
        runs = [f(there(X), there(W)) for _ in range(5)]
        results.extend([v.numpy() for v in run] for run in runs)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    for found in results:
        for y, wanted in zip(found, expected, strict=True):
            assert_array_equal(y, wanted)


def double(x: Any, shift: float = 0.0) -> Any:
    return {"y": x * 2.0 + shift, "total": x.sum()}


def test_jit_on_a_device() -> None:
    f = ng.jit(double, device="cuda")
    for given in (X, ng.tensor(X), there(X)):
        found = f(given, shift=1.0)
        assert found["y"].device == found["total"].device == "cuda"
        assert_allclose(found["y"].numpy(), X * 2 + 1)
    w = ng.tensor(X, requires_grad=True)
    f(w)["y"].sum().backward()
    assert w.grad is not None and w.grad.device == "cpu"
    assert_allclose(w.grad.numpy(), np.full((2, 3), 2.0))
    again = pickle.loads(pickle.dumps(f))
    assert again(X)["y"].device == "cuda"
    assert ng.jit(double)(there(X))["y"].device == "cuda"
    assert ng.jit(double, device="cpu")(there(X))["y"].device == "cpu"
    assert "def fused" in f.source(X)
    with pytest.raises(ng.errors.DeviceError, match="'tpu'"):
        ng.jit(double, device="tpu")
    with pytest.raises(TypeError, match="donate_argnums"):
        ng.jit(double, device="cuda", donate_argnums=0)


class Foreign:
    """An array on the card of another library, which says where its elements are."""

    def __init__(self, x: ng.Tensor, step: int = 1) -> None:
        self.keeps = x
        says = x.__cuda_array_interface__
        size, item = x.size // step, x.itemsize
        self.__cuda_array_interface__ = {
            **says, "shape": (size,), "strides": (item * step,) if step > 1 else None
        }  # fmt: skip

    def __array__(self, *args: Any) -> Any:
        raise TypeError("no silent copies")


def test_arrays_of_other_libraries_on_the_card() -> None:
    x = there(X.ravel())
    says = x.__cuda_array_interface__
    assert says["shape"] == (6,) and says["typestr"] == "<f8" and says["version"] == 3
    assert x.__dlpack_device__() == (2, 0) and ng.tensor(X).__dlpack_device__()[0] == 1
    assert not hasattr(ng.tensor(X), "__cuda_array_interface__")
    store().counts.clear()
    y = ng.from_dlpack(Foreign(x))
    z = ng.as_tensor(Foreign(x))
    copied = ng.tensor(Foreign(x), requires_grad=True)
    strided = ng.as_tensor(Foreign(x, step=2))
    assert store().counts["in"] == store().counts["out"] == 0
    assert y.__cuda_array_interface__["data"] == z.__cuda_array_interface__["data"] == says["data"]
    with ng.no_grad():
        assert copied.__cuda_array_interface__["data"] != says["data"]
    with pytest.raises(RuntimeError, match="grad"):
        _ = copied.__cuda_array_interface__
    assert {t.device for t in (y, z, copied, strided)} == {"cuda"} and copied.is_leaf
    for t in (y, z, copied):
        assert_array_equal(t.numpy(force=True), X.ravel())
    assert_array_equal(strided.numpy(), X.ravel()[::2])
    assert ng.add(x, Foreign(x)).device == ng.concatenate([x, Foreign(x)]).device == "cuda"
    assert ng.tensor(Foreign(x), device="cpu", dtype=np.float32).device == "cpu"
    with pytest.raises(BufferError):
        x.__dlpack__()
    assert_array_equal(np.from_dlpack(x.cpu()), X.ravel())


def test_a_tensor_of_tensors_stays_where_they_are() -> None:
    x = there(X)
    assert ng.tensor(x).device == ng.tensor([x[0], x[1]]).device == "cuda"
    assert (
        ng.as_tensor([x[0], x[1]]).device == "cuda" and ng.tensor(x, device="cpu").device == "cpu"
    )
    assert ng.tensor(x, requires_grad=True).is_leaf


def test_arrays_that_are_differentiated_go_where_the_function_is() -> None:
    shift = there(X)
    value, slope = ng.value_and_grad(lambda x: ((x - shift) ** 2).sum())(X + 1.0)
    assert isinstance(slope, np.ndarray)
    assert_allclose((value, slope.sum()), (6.0, 12.0))
    with pytest.raises(ng.errors.DeviceError):
        ng.grad(lambda x: (x - shift).sum())(ng.tensor(X))


def test_transforms_that_have_loops_of_their_own() -> None:
    f = lambda t, y: -y * there([1.0, 2.0])
    found = ng.integrate.solve_ivp(f, (0.0, 1.0), there([1.0, 2.0]), rtol=1e-8).y[:, -1]
    assert_allclose(found.numpy(), [np.exp(-1.0), 2 * np.exp(-2.0)], rtol=1e-6)
    sine = lambda x: np.sin(x) * x * there(X)
    assert ng.autograd.gradcheck(sine, (there(X, requires_grad=True),))
    assert ng.autograd.gradgradcheck(sine, (there(X, requires_grad=True),))
    double = lambda c: c * 2.0
    grown = ng.grad(lambda x: ng.while_loop(lambda c: c.sum() < 50, double, x).sum())(there(X))
    assert grown.device == "cuda"
    assert_allclose(grown.numpy(), 16.0)


def test_what_is_written_lies_where_it_is_written_to() -> None:
    x = there(X.copy())
    with pytest.raises(ng.errors.DeviceError, match="update_slice"):
        x[:] = ng.tensor(X) * 2.0
    assert_array_equal(x.numpy(), X)
    x.data = ng.tensor(X) * 3.0
    assert x.device == x[0].device == "cuda"
    assert_allclose((x[0] + there(X[0])).numpy(), X[0] * 4.0)
    filled = ng.jit(lambda r: ng.zeros((2, 3)).at[0].set(r) + r)
    assert filled(there(X[0])).device == "cuda"
    total = ng.zeros(3)
    total += there(X[1])  # what lay nowhere goes where it is written from
    assert total.device == "cuda"


def test_a_profile_tells_the_time_of_each_kernel_and_what_the_card_held() -> None:
    f = ng.jit(lambda x, w: (np.sort(np.tanh(x @ w), 1) * x.sum()).sum(), device="cuda")
    with ng.profile() as p:
        for _ in range(3):
            f(X, W).item()
    rows = p.rows()
    assert {row.calls for row in rows} == {3}
    assert {"kernel", "library"} <= {row.kind for row in rows} and len(rows) > 2
    assert all(row.time >= 0 and row.bytes > 0 for row in rows)
    assert any("test_device_tensors" in (row.line or "") for row in rows)
    assert p.device_peak >= X.nbytes and "device memory" in p.table()
    with ng.profile() as p:
        ng.tensor(X, device="cuda").sum().item()
    assert [row.name for row in p.rows()] == ["sum"]
    starts = [start for _, start, _, _ in p.events]
    assert starts == sorted(starts)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_kind_of_step_is_timed(name: str) -> None:
    x, w = there(X, requires_grad=True), there(W, requires_grad=True)
    with ng.profile() as p:
        PROGRAMS[name](x, w).backward()
        assert x.grad is not None
        x.grad.numpy()
    assert p.rows() and all(row.time >= 0 for row in p.rows())
    assert len({tuple(e[1:3]) for e in p.events}) > 0
