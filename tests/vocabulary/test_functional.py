"""Losses and activations: values and gradients are PyTorch's, derivatives those of finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from draws import Draw
from nests import leaves, replaced
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.registry import PublicFunction, functions
from nbgrad.tensors.namespaces import find

load_vocabulary()
F = ng.functional
DECLARED = [f for f in functions["functional"].values() if f.cases is not None]
every_function = pytest.mark.parametrize("f", DECLARED, ids=lambda f: f.name)
inf, nan = math.inf, math.nan
# Arguments that PyTorch does not differentiate, by their places among the arrays.
CONSTANT = {"binary_cross_entropy": {2}, "binary_cross_entropy_with_logits": {2, 3}}
CONSTANT |= {"soft_margin_loss": {1}, "nll_loss": {2}, "cross_entropy": {2}}
# PyTorch's own slope is the sixth that float32 has.
COARSE = {"hardsigmoid"}


def calls(f: PublicFunction, dtype: Any = np.float64) -> list[Any]:
    assert f.cases is not None
    return f.cases(Draw(f"functional.{f.name}", dtype))


def of_torch(f: PublicFunction) -> Callable[..., Any]:
    torch = pytest.importorskip("torch")
    if str(f.reference).startswith("jax"):
        return lambda x, b=4.0: (x + (x * x + b).sqrt()) / 2
    return getattr(torch.nn.functional, f.name)  # type: ignore[no-any-return]


def in_words_of_torch(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {{"axis": "dim", "keepdims": "keepdim"}.get(k, k): x for k, x in kwargs.items()}


@every_function
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_and_gradients_are_those_of_torch(f: PublicFunction, dtype: Any) -> None:
    torch, exact = pytest.importorskip("torch"), of_torch(f)
    tight = dtype == np.float64 and f.name not in COARSE
    near = {"rtol": 1e-10, "atol": 1e-12} if tight else {"rtol": 1e-4, "atol": 1e-5}
    for args, kwargs in calls(f, dtype):
        arrays = [np.asarray(a) for a in leaves((args, kwargs))]
        arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
        fixed = CONSTANT.get(f.name, ())
        floats = [a.dtype.kind == "f" and k not in fixed for k, a in enumerate(arrays)]
        theirs = [torch.tensor(a, requires_grad=r) for a, r in zip(arrays, floats, strict=True)]
        ours = [ng.tensor(a, requires_grad=r) for a, r in zip(arrays, floats, strict=True)]
        with ng.configure(tier="reference"):
            given, settings = replaced((args, kwargs), iter(ours))
            found = find("functional", f.name)(*given, **settings)
            given, settings = replaced((args, kwargs), iter(theirs))
            wanted = exact(*given, **in_words_of_torch(settings))
            value = found.detach().numpy()
            assert (value.shape, value.dtype) == (wanted.shape, wanted.detach().numpy().dtype)
            assert_allclose(value, wanted.detach().numpy(), **near, err_msg=str((args, kwargs)))
            if f.differentiable:
                (found * found).sum().backward()
                (wanted * wanted).sum().backward()
        for a, b in zip(ours, theirs, strict=True):
            if b.grad is not None:
                assert_allclose(
                    a.grad.numpy(), b.grad.numpy(), **near, err_msg=str((args, kwargs))
                )


@pytest.mark.parametrize("f", [f for f in DECLARED if f.differentiable], ids=lambda f: f.name)
def test_derivatives_of_both_orders_are_those_of_finite_differences(f: PublicFunction) -> None:
    function = find("functional", f.name)
    for args, kwargs in calls(f):
        arrays = list(leaves((args, kwargs)))
        active = [k for k, a in enumerate(arrays) if np.asarray(a).dtype.kind == "f"]

        def of(
            *xs: Any, nest: Any = (args, kwargs), arrays: Any = arrays, at: Any = active
        ) -> Any:
            given = list(arrays)
            for k, x in zip(at, xs, strict=True):
                given[k] = x
            inner, settings = replaced(nest, iter(given))
            return function(*inner, **settings)

        points = [ng.tensor(arrays[k], requires_grad=True) for k in active]
        with ng.configure(tier="reference"):
            assert ng.autograd.gradcheck(of, points)
            assert ng.autograd.gradgradcheck(of, points)


KINKS: dict[str, tuple[Any, ...]] = {
    "relu": (0.0,),
    "relu6": (0.0, 6.0),
    "leaky_relu": (0.0,),
    "elu": (0.0, 1e3, -1e3),
    "selu": (0.0,),
    "celu": (0.0, 1e3),
    "hardtanh": (-1.0, 1.0),
    "hardsigmoid": (-3.0, 3.0),
    "softplus": (1e3, -1e3),
    "logsigmoid": (1e3, -1e3),
    "softshrink": (0.5, -0.5, 0.0),
    "hardshrink": (0.5, -0.5),
    "softsign": (0.0,),
}


@pytest.mark.parametrize("name", KINKS)
@pytest.mark.parametrize("policy", ["safe", "ieee"])
def test_kinks_and_far_ends_are_those_of_torch(name: str, policy: str) -> None:
    torch = pytest.importorskip("torch")
    points = np.array([*KINKS[name], inf, -inf, nan])
    x, y = ng.tensor(points, requires_grad=True), torch.tensor(points, requires_grad=True)
    with ng.configure(tier="reference", nan_policy=policy):
        found = getattr(F, name)(x)
        found.sum().backward()
    wanted = getattr(torch.nn.functional, name)(y)
    wanted.sum().backward()
    assert_allclose(found.detach().numpy()[:-1], wanted.detach().numpy()[:-1], atol=1e-15)
    assert np.isnan(found.detach().numpy()[-1])
    finite = np.isfinite(points)
    assert_allclose(x.grad.numpy()[finite], y.grad.numpy()[finite], atol=1e-15)


def test_losses_far_out_are_finite() -> None:
    x = ng.tensor([800.0, -800.0], requires_grad=True)
    with ng.configure(tier="reference", nan_policy="ieee"):
        loss = F.binary_cross_entropy_with_logits(x, [0.0, 1.0], reduction="sum")
        loss = loss + F.cross_entropy(x, 1) + F.soft_margin_loss(x, [-1.0, 1.0])
        loss.backward()
        certain = F.binary_cross_entropy([0.0, 1.0], [0.0, 1.0], reduction="none")
        wrong = F.binary_cross_entropy([1.0, 0.0], [0.0, 1.0], reduction="none")
    assert loss.item() == 1600.0 + 1600.0 + 800.0
    assert_allclose(x.grad.numpy(), [2.5, -2.5])
    assert certain.tolist() == [0.0, 0.0] and wrong.tolist() == [100.0, 100.0]
    assert_allclose(F.kl_div([-1.0, -1.0], [0.0, 1.0], reduction="sum").item(), 1.0)
    zero = ng.tensor([[0.0, 0.0]], requires_grad=True)
    with ng.configure(tier="reference", nan_policy="ieee"):
        F.cosine_similarity(zero, [[1.0, 2.0]]).sum().backward()
    assert np.isfinite(zero.grad.numpy()).all()


ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "shapes": (lambda: F.mse_loss(np.ones(3), np.ones((3, 1))), ValueError, "of one shape"),
    "reduction": (lambda: F.l1_loss(1.0, 2.0, reduction="avg"), ValueError, "not 'avg'"),
    "beta": (lambda: F.smooth_l1_loss(1.0, 2.0, beta=-1.0), ValueError, "beta"),
    "delta": (lambda: F.huber_loss(1.0, 2.0, delta=0.0), ValueError, "delta"),
    "labels": (lambda: F.cross_entropy(np.ones((2, 3)), [0, 1, 2]), ValueError, r"of shape \(2,\)"),
    "floats": (lambda: F.nll_loss(np.ones((2, 3)), [0.0, 1.0]), TypeError, "astype"),
    "class": (lambda: F.cross_entropy(np.ones((2, 3)), [0, 3]), IndexError, "3"),
    "weight": (lambda: F.nll_loss(np.ones((2, 3)), [0, 1], np.ones(2)), ValueError, "3 classes"),
    "smoothing": (lambda: F.cross_entropy([1.0], 0, label_smoothing=2.0), ValueError, "0 to 1"),
    "one_hot": (lambda: F.one_hot([0, 4], 3), ValueError, "0 to 2"),
    "one_hot of floats": (lambda: F.one_hot([0.0]), TypeError, "integers"),
    "glu": (lambda: F.glu(np.ones(3)), ValueError, "odd"),
    "gelu": (lambda: F.gelu(1.0, approximate="erf"), ValueError, "'erf'"),
    "hardtanh": (lambda: F.hardtanh(1.0, 2.0, 1.0), ValueError, "above"),
    "prelu": (lambda: F.prelu(np.ones((2, 3)), np.ones(2)), ValueError, "axis 1"),
    "layer_norm": (lambda: F.layer_norm(np.ones((2, 3)), 2), ValueError, "does not end"),
    "layer_norm's weight": (
        lambda: F.layer_norm(np.ones((2, 3)), 3, np.ones(2)), ValueError, "weight and bias",
    ),
    "a name": (lambda: F.mse_los(1.0, 2.0), AttributeError, "mse_loss"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_does_not_fit_is_refused(case: str) -> None:
    run, error, text = ERRORS[case]
    with pytest.raises(error, match=text):
        run()


def test_classes_may_be_traced() -> None:
    def loss(w: Any, x: Any, y: Any) -> Any:
        return F.cross_entropy(x @ w, y) + (F.one_hot(y, 3) * (x @ w)).sum()

    w, x, y = np.eye(2, 3), np.array([[0.3, -1.0], [2.0, 0.5]]), np.array([2, 0])
    found = ng.jit(ng.grad(loss))(w, x, y)
    with ng.configure(tier="reference"):
        assert_allclose(found, ng.grad(loss)(w, x, y), rtol=1e-12)
    with pytest.raises(ng.errors.ConcretizationError):
        ng.jit(F.one_hot)(y)
