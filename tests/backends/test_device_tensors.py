"""Tensors on a device, by the emulator: the same programs, and nothing goes to the host in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.backends.cuda.emulated import EmulatedStore
from nbgrad.backends.cuda.runtime import runtime
from nbgrad.core.memory import Buffer

X = np.linspace(0.2, 1.4, 6).reshape(2, 3)
W = np.linspace(-1.0, 1.0, 9).reshape(3, 3) + np.eye(3)


@pytest.fixture(autouse=True)
def _emulated() -> Iterator[None]:
    with ng.configure(cuda="emulator"):
        yield


def there(a: Any, **options: Any) -> ng.Tensor:
    return ng.tensor(a, device="cuda", **options)


def store() -> EmulatedStore:
    found = runtime.store()
    assert isinstance(found, EmulatedStore)
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
    assert store().counts["out"] == 1 and store().counts["in"] == 0
    y = (np.exp(X) @ W - X.mean(0)).reshape(3, 2).T
    assert_allclose(value, np.concatenate([y, y * 2.0], axis=1)[:, ::2].sum(), rtol=1e-14)


PROGRAMS: dict[str, Callable[..., Any]] = {
    "chain": lambda x, w: (np.sin(x) * np.exp(-x) + x**2 * w[0]).sum(),
    "products": lambda x, w: np.tanh(x @ w).sum() * np.linalg.det(w),
    "softmax": lambda x, w: -ng.special.log_softmax(x @ w, axis=1)[:, 0].mean(),
    "solve": lambda x, w: np.linalg.solve(w, x.T).sum() + np.linalg.inv(w)[0, 1],
    "order": lambda x, w: (np.sort(x, axis=1)[:, 1] * np.max(w)).sum() + np.median(x),
    "choice": lambda x, w: np.where(x > 0.7, x * 2, np.sqrt(x)).sum() + np.abs(w).max(),
    "picks": lambda x, w: x[[0, 1, 0], [2, 2, 1]].sum() * w[np.array([2, 0])].prod(),
    "scans": lambda x, w: np.cumsum(x, 1).sum() * np.cumprod(w[0]).sum(),
    "constants": lambda x, w: (x * np.arange(3.0) + ng.ones(3) @ w + np.eye(3)[0]).sum(),
    "stack": lambda x, w: np.stack([x[0], w[1], x[1] * 2]).std(),
    "scan": lambda x, w: ng.scan(lambda c, r: (np.tanh(c @ w + r), c.sum()), x[0], x)[1].sum(),
    "fourier": lambda x, w: np.abs(np.fft.fft(x, axis=1)).sum() + w.trace(),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_are_those_of_home(name: str) -> None:
    f = PROGRAMS[name]
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
