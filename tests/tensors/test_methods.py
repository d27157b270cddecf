"""Methods that the registry gives, and their in-place forms: one function under two spellings."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.registry import primitives
from nbgrad.ops.kinds.elementwise import arity
from nbgrad.tensors import naming, top_level
from nbgrad.tensors.namespaces import find

load_vocabulary()
# Those of nbgrad itself: other tests declare operations of their own.
PUBLIC = [
    p
    for p in primitives.values()
    if p.public and p.kind == "elementwise" and type(p.reference).__name__ != "function"
]
UNARY = {p.name: p for p in PUBLIC if arity(p) == 1}
BINARY = {p.name: p for p in PUBLIC if arity(p) == 2 and p.namespace == "numpy"}


def operand(prim: Any, k: int) -> Any:
    """Two numbers of the domain, of the first dtype that the operation takes."""
    low, high = (prim.domain or ((0.2, 0.8),))[k % len(prim.domain or (0,))]
    if isinstance(low, int):
        return np.array([max(low, 1), max(low, 1) + 1])
    ends = np.clip([low, high], -3.0, 3.0)
    return np.round(ends.mean() + np.array([-0.2, 0.2]) * min(1.0, ends[1] - ends[0]), 2)


def same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a.detach()), np.asarray(b.detach()))


@pytest.mark.parametrize("name", sorted({*UNARY, *BINARY}))
def test_elementwise_operations_are_methods_with_in_place_forms(name: str) -> None:
    prim = UNARY.get(name) or BINARY[name]
    xs = [operand(prim, k) for k in range(arity(prim))]
    public = find(prim.namespace, name)
    expected = public(*map(ng.tensor, xs))
    x, *others = map(ng.tensor, xs)
    same(getattr(x, name)(*others), expected)
    if np.can_cast(expected.dtype, x.dtype, "same_kind"):
        made = getattr(x, f"{name}_")(*others)
        assert made is x
        same(x, expected.astype(x.dtype))
    else:
        with pytest.raises(TypeError, match="in place"):
            getattr(x, f"{name}_")(*others)


@pytest.mark.parametrize("alias", sorted(naming.ALIASES))
def test_pytorchs_names_are_methods_and_functions(alias: str) -> None:
    main = naming.ALIASES[alias]
    assert getattr(ng, alias) is getattr(ng, main)
    if main not in ("concatenate", "clip"):
        x = ng.tensor(1)
        assert hasattr(x, alias) and hasattr(x, main)
        assert getattr(ng.Tensor, alias) is getattr(ng.Tensor, main)


def test_a_method_is_the_function() -> None:
    for name in ("log10", "hypot", "cumsum", "erf", "floor"):
        getattr(ng.tensor(1.0), name)  # made when it is first asked for
        assert getattr(ng.Tensor, name) is getattr(ng, name)
    assert ng.Tensor.log1p_ is ng.log1p_


def test_methods_of_the_class_take_tensors() -> None:
    xs = [ng.tensor(0.5), ng.tensor(2.0)]
    assert [x.item() for x in map(ng.Tensor.reciprocal, xs)] == [2.0, 0.5]


def test_in_place_forms_are_differentiated_and_written_to_views() -> None:
    x = ng.tensor([0.5, 2.0, 4.0], requires_grad=True)
    y = x * 1.0
    y[1:].log10_()
    y.sum().backward()
    np.testing.assert_allclose(x.grad, [1.0, 1 / (2 * np.log(10)), 1 / (4 * np.log(10))])
    with pytest.raises(RuntimeError):
        x.reciprocal_()
    assert x.detach().tolist() == [0.5, 2.0, 4.0]


def test_what_is_none_is_refused() -> None:
    x = ng.tensor([1.0])
    for name in ("summ", "nope_", "shape_", "_hidden_"):
        with pytest.raises(AttributeError, match=name):
            getattr(x, name)
    with pytest.raises(TypeError, match="split"):
        x.split_(1)


def test_completion_shows_the_methods_and_help_describes_them() -> None:
    x = ng.tensor([1.0])
    shown = dir(x)
    assert shown == sorted(shown)
    assert {"sum", "log10", "log10_", "gammaln", "masked_fill_", "gather", "T"} <= {*shown}
    assert not [n for n in shown if n[0] == "_" and n[:2] != "__"]
    for name in naming.spelled():
        doc = inspect.getdoc(getattr(ng.Tensor, name)) or ""
        assert "Returns\n-" in doc, name
    for name in ("sum", "log10", "log10_", "gather", "cumsum", "erf_"):
        assert ">>>" in inspect.getdoc(getattr(ng.Tensor, name)), name


def test_tensors_have_one_class() -> None:
    assert ng.Tensor.__mro__ == (ng.Tensor, object)

    class Derived(ng.Tensor):
        pass

    x = Derived(ng.tensor([1.0, 2.0])._node)
    assert type(x + 1.0) is type(x.exp()) is Derived
    assert x.log10_() is x


SQUARE = np.array([[2.0, 0.5], [0.25, 3.0]])
GIVEN: dict[str, tuple[Any, ...]] = {
    "allclose": (SQUARE,),
    "bmm": (SQUARE,),
    "float_power": (2.0,),
    "ger": (SQUARE[0],),
    "igamma": (SQUARE,),
    "igammac": (SQUARE,),
    "isclose": (SQUARE,),
    "log_softmax": (1,),
    "matrix_power": (3,),
    "mv": (SQUARE[0],),
    "mvlgamma": (2,),
    "dsplit": (1,),
    "hsplit": (2,),
    "vsplit": (2,),
    "repeat_interleave": (2,),
    "swapdims": (0, 1),
    "take_along_dim": (np.array([[0], [1]]), 1),
    "tensor_split": (2,),
    "xlogy": (SQUARE,),
}


def _results(found: Any) -> list[Any]:
    parts = found if isinstance(found, (tuple, list)) else [found]
    return [x.detach().numpy() if hasattr(x, "detach") else np.asarray(x) for x in parts]


@pytest.mark.parametrize("name", sorted(naming.OF_NAMESPACES))
def test_methods_of_pytorch_that_are_functions_of_namespaces(name: str) -> None:
    value = SQUARE[0] if name == "ger" else SQUARE[:, :, None] if name == "dsplit" else SQUARE
    value = SQUARE[None] if name == "bmm" else value
    args = tuple(a[None] if name == "bmm" else a for a in GIVEN.get(name, ()))
    space, _, main = naming.OF_NAMESPACES[name].rpartition(".")
    found = _results(getattr(ng.tensor(value), name)(*args))
    wanted = getattr(getattr(ng, space), main)(ng.tensor(value), *args)
    wanted = [*_results(wanted), *_results(getattr(ng, name)(ng.tensor(value), *args))]
    for a, b in zip([*found, *found], wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    torch = pytest.importorskip("torch")
    given = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    for a, b in zip(found, _results(getattr(torch.tensor(value), name)(*given)), strict=True):
        np.testing.assert_allclose(np.abs(a), np.abs(b), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("softmax", {"dim": 1}), ("squeeze", {"dim": 1}), ("unsqueeze", {"dim": 2}),
        ("roll", {"shift": 1, "dims": 0}), ("flip", {"dims": (0, 2)}),
    ],
)  # fmt: skip
def test_pytorchs_words_are_taken_where_numpy_has_axis(name: str, given: dict[str, Any]) -> None:
    x = ng.tensor(np.random.default_rng(0).normal(size=(3, 1, 2)))
    own = {{"dim": "axis", "dims": "axis"}.get(k, k): v for k, v in given.items()}
    for f in (getattr(x, name), functools.partial(getattr(ng, name), x)):
        np.testing.assert_array_equal(f(**given).numpy(), f(**own).numpy())
    torch = pytest.importorskip("torch")
    if name != "roll":
        wanted = getattr(torch.tensor(x.numpy()), name)(**given)
        np.testing.assert_allclose(getattr(x, name)(**given).numpy(), wanted, rtol=1e-15)


@pytest.mark.parametrize("name", sorted({*top_level.ELSEWHERE} - {*naming.OF_NAMESPACES}))
def test_functions_of_pytorch_that_bear_another_name_here(name: str) -> None:
    torch = pytest.importorskip("torch")
    more = {"block_diag": (SQUARE,), "mm": (SQUARE,), "permute": ((1, 0),), "unsqueeze": (1,)}
    given = (SQUARE / 9, *more.get(name, ()))
    found = _results(getattr(ng, name)(*map(_tensors(ng), given)))
    wanted = _results(getattr(torch, name)(*map(_tensors(torch), given)))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def _tensors(library: Any) -> Any:
    return lambda x: library.tensor(x) if isinstance(x, np.ndarray) else x
