"""Every primitive and every function of the registry on the emulated card: values, gradients, places."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from draws import Draw
from nests import leaves, replaced
from numpy.testing import assert_allclose
from samples import Sample, samples

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import PublicFunction, functions, primitives
from nbgrad.tensors.namespaces import find

load_vocabulary()
PRIMITIVES = [p for p in primitives.values() if p.name != "move"]


def exists(f: PublicFunction) -> bool:
    """Whether NumPy and SciPy here have the function, or another package that is installed."""
    if not isinstance(f.reference, str):
        return f.cases is not None
    module, _, name = f.reference.rpartition(".")
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return False
    return f.cases is not None and hasattr(importlib.import_module(module), name)


FUNCTIONS = [f for held in functions.values() for f in held.values() if exists(f)]


@pytest.fixture(autouse=True)
def _emulated() -> Iterator[None]:
    with (
        ng.configure(cuda=os.environ.get("NBGRAD_TEST_CUDA", "emulator")),
        np.errstate(all="ignore"),
    ):
        yield


def found(f: Callable[..., Any], arrays: list[Any], device: str) -> list[Any]:
    """The results of *f* and the gradients of their sum: where they lie, and their elements."""
    xs = [ng.tensor(a, device=device) for a in arrays]
    tracked = [x.requires_grad_() for x in xs if x.dtype.kind in "fc"]
    results = list(leaves(f(*xs)))
    outs = [y for y in results if hasattr(y, "_node")]
    ends = [y for y in outs if y.requires_grad]
    seeds = [ng.tensor(np.full(y.shape, 0.7, y.dtype), device=device) for y in ends]
    slopes = ng.autograd.grad(ends, tracked, seeds, allow_unused=True) if ends else ()
    return [y if y is None else (y.device, y.numpy(force=True)) for y in (*outs, *slopes)]


def compare(f: Callable[..., Any], arrays: list[Any]) -> None:
    try:
        expected = found(f, arrays, "cpu")
    except Exception as error:
        with pytest.raises(type(error)):
            found(f, arrays, "cuda")
        return
    for ours, theirs in zip(found(f, arrays, "cuda"), expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours[0] == ("cuda" if arrays else "cpu")
            assert_allclose(ours[1], theirs[1], rtol=1e-9, atol=1e-11)


def recorded(sample: Sample, *xs: Any) -> Any:
    return ng.Tensor(sample.record([x._node for x in xs]))


@pytest.mark.parametrize("prim", PRIMITIVES, ids=lambda p: p.name)
def test_primitives(prim: Primitive) -> None:
    for sample in samples(prim)[:2]:
        compare(lambda *xs, s=sample: recorded(s, *xs), list(sample.arrays))


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f"{f.namespace}.{f.name}")
def test_functions(f: PublicFunction) -> None:
    assert f.cases is not None
    nest = f.cases(Draw(f"{f.namespace}.{f.name}", np.float64))[0]

    def call(*xs: Any) -> Any:
        args, kwargs = replaced(nest, iter(xs))
        return find(f.namespace, f.name)(*args, **kwargs)

    compare(call, [np.asarray(a) for a in leaves(nest)])
