"""Every declared function against its oracle: value, VJP, JVP and order 2, real and complex.

Derivatives are compared with finite differences of the oracle along random directions. The results
are what ``@function(cases=...)`` lists; see ``nbgrad/vocabulary/declare.py``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from draws import Array, Draw
from nests import is_array, leaves, replaced
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.node import Node
from nbgrad.core.registry import PublicFunction, functions
from nbgrad.tensors.namespaces import find

load_vocabulary()
# NumPy and SciPy that are older than some functions, or than some ways of calling them.
OLD = np.lib.NumpyVersion(np.__version__) < "2.4.0"


def known(f: PublicFunction) -> bool:
    """Whether NumPy and SciPy here have the function at all."""
    if not isinstance(f.reference, str):
        return True
    module, _, name = f.reference.rpartition(".")
    return not OLD or hasattr(importlib.import_module(module), name)


# Those that are PyTorch's have tests of their own, test_functional.py.
DECLARED = [
    f
    for space, held in functions.items()
    for f in held.values()
    if f.cases is not None and space != "functional" and known(f)
]
every_function = pytest.mark.parametrize("f", DECLARED, ids=lambda f: f"{f.namespace}.{f.name}")
Leaves = list[Any]


def oracle(f: PublicFunction) -> Callable[..., Any]:
    reference = f.reference
    if isinstance(reference, str):
        module, _, name = reference.rpartition(".")
        reference = getattr(importlib.import_module(module), name)
    assert reference is not None, f"{f.name} declares no reference"
    return _willing(reference) if OLD else reference


def _willing(reference: Callable[..., Any]) -> Callable[..., Any]:
    """An oracle that skips what an old NumPy or SciPy cannot be asked."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return reference(*args, **kwargs)
        except (TypeError, ValueError) as error:
            pytest.skip(f"NumPy {np.__version__}: {error}")

    return call


def calls(f: PublicFunction, dtype: Any) -> list[Any]:
    assert f.cases is not None
    return f.cases(Draw(f"{f.namespace}.{f.name}", dtype))


def dtypes(f: PublicFunction) -> list[Any]:
    return [np.float64, np.complex128] if f.complex else [np.float64]


def tracked(arrays: Sequence[Array]) -> list[int]:
    return [k for k, a in enumerate(arrays) if a.dtype.kind in "fc"]


def direction(rng: np.random.Generator, like: Array) -> Array:
    v = rng.normal(size=like.shape)
    if like.dtype.kind == "c":
        v = v + 1j * rng.normal(size=like.shape)
    return np.asarray(v)


# ------------------------------------------------------------------------------------------- value


@every_function
def test_value_is_that_of_the_oracle(f: PublicFunction) -> None:
    exact = oracle(f)
    wide = [np.float64, np.float32] + ([np.complex128, np.complex64] if f.complex else [])
    for dtype in wide:
        for args, kwargs in calls(f, dtype):
            with np.errstate(all="ignore"):
                wanted = exact(*args, **kwargs)
            if f.observe is not None:
                wanted = f.observe(wanted)
            nest = (args, kwargs)
            for ours in (nest, replaced(nest, (ng.tensor(a) for a in leaves(nest)))):
                found = find(f.namespace, f.name)(*ours[0], **ours[1])
                found = found if f.observe is None else f.observe(detached(found))
                compare(found, wanted, f"{f.name}{nest}")


def detached(nest: Any) -> Any:
    return replaced(nest, iter([y.numpy() if hasattr(y, "numpy") else y for y in leaves(nest)]))


def compare(found: Any, wanted: Any, label: str) -> None:
    if not is_array(wanted) and not isinstance(wanted, (tuple, list)):
        assert found == wanted, label
        return
    ours, theirs = list(leaves(found)), list(leaves(wanted))
    assert len(ours) == len(theirs), label
    for a, b in zip(ours, theirs, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), label
        if b.dtype.kind in "fc":
            eps = float(np.finfo(b.dtype).eps)
            scale = float(np.abs(b[np.isfinite(b)]).max(initial=1.0))
            assert_allclose(a, b, rtol=1e3 * eps, atol=1e3 * eps * scale, err_msg=label)
        else:
            assert_array_equal(a, b, err_msg=label)


# ------------------------------------------------------------------------------------- derivatives


class Problem:
    """A call as a real function of its tracked arrays: a weighted sum of all its results."""

    def __init__(self, f: PublicFunction, args: Any, kwargs: Any) -> None:
        self.f, self.exact, self.nest = f, oracle(f), (args, kwargs)
        self.arrays = [np.asarray(a) for a in leaves(self.nest)]
        self.active = tracked(self.arrays)
        self.rng = np.random.default_rng(7)
        self.label = f"{f.name}{args, kwargs}"
        with np.errstate(all="ignore"):
            self.weights = [
                direction(self.rng, y) if y.dtype.kind in "fc" else None
                for y in map(np.asarray, self.results(self.exact, self.arrays))
            ]

    def results(self, function: Callable[..., Any], arrays: Sequence[Any]) -> Leaves:
        args, kwargs = replaced(self.nest, iter(arrays))
        if self.f.restrict is not None:
            args, kwargs = self.f.restrict(*args, **kwargs)
        found = function(*args, **kwargs)
        if self.f.observe is not None:
            found = self.f.observe(found)
        return list(leaves(found))

    def ours(self, xs: Sequence[Any]) -> Any:
        """The weighted sum as a tensor; *xs* are the tracked arguments."""
        return self.weighted(self.tensors(xs))

    def tensors(self, xs: Sequence[Any]) -> Leaves:
        """Our results; *xs* are the tracked arguments."""
        given: list[Any] = list(self.arrays)
        for k, x in zip(self.active, xs, strict=True):
            given[k] = x
        return self.results(find(self.f.namespace, self.f.name), given)

    def weighted(self, ys: Leaves) -> Any:
        total: Any = 0.0
        for y, w in zip(ys, self.weights, strict=True):
            if w is not None:
                product = np.conj(w) * y if w.dtype.kind == "c" else w * y
                total = total + (np.real(product) if w.dtype.kind == "c" else product).sum()
        return total

    def theirs(self, arrays: Sequence[Array]) -> float:
        total = 0.0
        with np.errstate(all="ignore"):
            ys = self.results(self.exact, arrays)
        for y, w in zip(ys, self.weights, strict=True):
            if w is not None:
                total += float(np.sum(np.real(np.conj(w) * y)))
        return total

    def moved(self, steps: Sequence[tuple[float, list[Array]]]) -> list[Array]:
        out = [a.copy() for a in self.arrays]
        for step, along in steps:
            for k, v in zip(self.active, along, strict=True):
                out[k] = out[k] + step * v
        return out


def real_inner(gradients: Sequence[Any], along: Sequence[Array]) -> Any:
    """``Re sum conj(g) v``: how far the function moves along v, by PyTorch's convention."""
    total: Any = 0.0
    for g, v in zip(gradients, along, strict=True):
        if g is not None:
            product = np.conj(g) * v
            total = total + (np.real(product) if v.dtype.kind == "c" else product).sum()
    return total


def differences(p: Problem, v: list[Array], u: list[Array]) -> tuple[float, float]:
    """Slope along v (fourth order), and second derivative along v and u (extrapolated)."""
    h = 1e-3
    f = {s: p.theirs(p.moved([(s * h, v)])) for s in (-2, -1, 1, 2)}
    slope = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)

    def mixed(d: float) -> float:
        signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
        return sum(a * b * p.theirs(p.moved([(a * d, v), (b * d, u)])) for a, b in signs) / (
            4 * d * d
        )

    return slope, (4 * mixed(2e-3) - mixed(4e-3)) / 3


def number(x: Any) -> float:
    return float(x.item() if isinstance(x, ng.Tensor) else x)


def derived(p: Problem, v: list[Array], u: list[Array]) -> tuple[float, float, float]:
    """Slope along v by VJP and by JVP, and the derivative of the first along u."""
    xs = [ng.tensor(p.arrays[k], requires_grad=True) for k in p.active]
    total = p.ours(xs)
    if not isinstance(total, ng.Tensor) or not total.requires_grad:
        return 0.0, 0.0, 0.0
    options: Any = {"create_graph": True, "allow_unused": True}
    first = ng.autograd.grad(total, xs, **options)
    for x, g in zip(xs, first, strict=True):
        assert g is None or (g.shape, g.dtype) == (x.shape, x.dtype), p.label
    along = real_inner(first, v)
    second: Any = 0.0
    if isinstance(along, ng.Tensor) and along.requires_grad:
        second = real_inner(ng.autograd.grad(along, xs, **options), u)
    tensors = tuple(ng.tensor(p.arrays[k]) for k in p.active)
    _, tangent = ng.autograd.functional.jvp(
        lambda *ts: p.ours(ts), tensors, tuple(ng.tensor(w) for w in v)
    )
    return number(along), number(tangent), number(second)


DIFFERENTIABLE = [f for f in DECLARED if f.differentiable]


@pytest.mark.parametrize("f", DIFFERENTIABLE, ids=lambda f: f"{f.namespace}.{f.name}")
def test_derivatives_are_those_of_finite_differences(f: PublicFunction) -> None:
    for dtype in dtypes(f):
        for args, kwargs in calls(f, dtype):
            p = Problem(f, args, kwargs)
            if not p.active:
                continue
            v, u = ([direction(p.rng, p.arrays[k]) for k in p.active] for _ in "vu")
            slope, second = differences(p, v, u)
            by_vjp, by_jvp, by_second = derived(p, v, u)
            scale = 1 + abs(slope)
            assert_allclose(by_vjp, slope, rtol=1e-7, atol=1e-7 * scale, err_msg=p.label)
            assert_allclose(by_jvp, slope, rtol=1e-7, atol=1e-7 * scale, err_msg=p.label)
            scale += abs(second)
            assert_allclose(by_second, second, rtol=1e-5, atol=1e-5 * scale, err_msg=p.label)


# ------------------------------------------------------------------------------------------- tiers


def on_tier(tier: str, p: Problem) -> list[Array]:
    """The results and the gradients of their weighted sum."""
    with ng.configure(tier=tier):
        xs = [ng.tensor(p.arrays[k], requires_grad=p.f.differentiable) for k in p.active]
        ys = p.tensors(xs)
        total = p.weighted(ys)
        if isinstance(total, ng.Tensor) and total.requires_grad:
            found = ng.autograd.grad(total, xs, allow_unused=True, retain_graph=True)
            ys += [g for g in found if g is not None]
        return [np.asarray(y.detach() if isinstance(y, ng.Tensor) else y) for y in ys]


@every_function
def test_blocks_compute_what_the_reference_does(f: PublicFunction) -> None:
    """The other tests of this file run once, so in NumPy; random programs run fused kernels."""
    for dtype in dtypes(f):
        p = Problem(f, *calls(f, dtype)[0])
        compare(on_tier("block", p), on_tier("reference", p), p.label)


@every_function
def test_traced_by_jit(f: PublicFunction) -> None:
    """A function whose result's shape does not depend on values can be traced."""
    args, kwargs = calls(f, np.float64)[0]
    p = Problem(f, args, kwargs)
    if not p.active or not f.differentiable or all(w is None for w in p.weights):
        return
    wanted = p.theirs(p.arrays)
    traced = ng.jit(lambda *xs: p.ours(xs))
    given = [p.arrays[k] for k in p.active]
    with ng.configure(tier="reference"):
        if not f.traceable:
            with pytest.raises(ng.errors.ConcretizationError):
                traced(*given)
            return
        found = traced(*given)
    assert_allclose(float(found), wanted, rtol=1e-10, atol=1e-10 * (1 + abs(wanted)))


@every_function
def test_declaration_is_complete(f: PublicFunction) -> None:
    assert f.implementation.__doc__, f"{f.name} has no docstring"
    assert calls(f, np.float64), f"{f.name} lists no case"


def test_numpy_dispatch_reaches_the_same_function() -> None:
    """``np.f(tensor)`` is ours for every reference that NumPy lets a tensor override."""
    for f in DECLARED:
        if callable(f.reference) and f.namespace == "numpy":
            args, kwargs = calls(f, np.float64)[0]
            nest = replaced((args, kwargs), iter(ng.tensor(a) for a in leaves((args, kwargs))))
            found = f.reference(*nest[0], **nest[1])
            assert all(isinstance(y, (ng.Tensor, Node, int, bool)) for y in leaves(found)), f.name


def test_what_stands_for_nan_takes_the_dtype_of_the_array() -> None:
    x = np.array([np.nan, 1.0], np.float32)
    found = np.nan_to_num(ng.tensor(x), nan=np.float64(2.0)).numpy()  # type: ignore[union-attr]
    assert found.dtype == np.float32
    assert found.tolist() == [2.0, 1.0]
    with pytest.raises(TypeError, match="cannot be replaced by complex"):
        np.nan_to_num(ng.tensor(x), nan=1j)  # type: ignore[arg-type]
