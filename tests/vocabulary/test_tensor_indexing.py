"""PyTorch's methods that write and pick at indices, against torch-free references in NumPy loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 4))
SRC = RNG.normal(size=(3, 4))
INDEX = np.array([[0, 2, -1], [1, 1, 0]])


def scattered(x: Any, dim: int, index: Any, src: Any, add: bool) -> Any:
    out = np.array(x)
    for place in np.ndindex(index.shape):
        target = list(place)
        target[dim] = index[place]
        value = src[place] if np.ndim(src) else src
        out[tuple(target)] = out[tuple(target)] + value if add else value
    return out


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_scatter_and_scatter_add(dim: int) -> None:
    x, src = ng.tensor(X), ng.tensor(SRC)
    assert_allclose(x.scatter(dim, INDEX, src), scattered(X, dim, INDEX, SRC, False))
    assert_allclose(x.scatter_add(dim, INDEX, src), scattered(X, dim, INDEX, SRC, True))
    assert_allclose(
        ng.scatter(x, dim, ng.tensor(INDEX), 7.0), scattered(X, dim, INDEX, 7.0, False)
    )
    assert_allclose(x.scatter(dim, INDEX, value=7.0), scattered(X, dim, INDEX, 7.0, False))


@pytest.mark.parametrize("dim", [0, 1])
def test_index_add_copy_and_fill(dim: int) -> None:
    index = np.array([2, 0])
    src = np.take(SRC, [0, 1], dim)
    rows = (slice(None),) * dim + (index,)
    added, copied, filled = X.copy(), X.copy(), X.copy()
    np.add.at(added, rows, -2 * src)
    copied[rows] = src
    filled[rows] = 9.0
    x = ng.tensor(X)
    assert_allclose(x.index_add(dim, index, ng.tensor(src), alpha=-2), added)
    assert_allclose(x.index_copy(dim, ng.tensor(index), src), copied)
    assert_allclose(x.index_fill(dim, index, 9.0), filled)


def test_masked_scatter() -> None:
    mask = X > 0
    expected = X.copy()
    expected[mask] = SRC.reshape(-1)[: mask.sum()]
    assert_allclose(ng.tensor(X).masked_scatter(mask, SRC), expected)
    with pytest.raises(ValueError, match="elements for"):
        ng.tensor(X).masked_scatter(mask, SRC[0, :1])


CALLS = {
    "scatter": lambda x, s: x.scatter(1, INDEX, s),
    "scatter_add": lambda x, s: x.scatter_add(0, INDEX, s),
    "index_add": lambda x, s: x.index_add(1, [1, 1, 0, 2], s, alpha=0.5),
    "index_copy": lambda x, s: x.index_copy(0, [2, 0, 1], s),
    "index_fill": lambda x, s: x.index_fill(1, [0, 3], 2.0) * s,
    "masked_scatter": lambda x, s: x.masked_scatter(X > 0.1, s),
    "select": lambda x, s: x.select(1, -1) * s.select(0, 1).sum(),
    "split": lambda x, s: x.unsafe_split(3, dim=1)[1] * s.split_with_sizes([2, 2], 1)[0],
    "var_mean": lambda x, s: ng.var_mean(x, dim=1)[0] * ng.std_mean(s, dim=1, correction=0)[1],
    "zero dimensions": lambda x, s: x[0, 0].scatter(0, np.array(0), s[1, 1]) * x.sum(),
}


@pytest.mark.parametrize("name", CALLS)
def test_gradients(name: str) -> None:
    x, s = ng.tensor(X, requires_grad=True), ng.tensor(SRC, requires_grad=True)
    assert ng.autograd.gradcheck(CALLS[name], (x, s), check_forward_ad=True)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "masked_scatter"])
def test_under_jit(name: str) -> None:
    f = ng.jit(lambda x, s: CALLS[name](x, s))
    assert_allclose(f(X, SRC), CALLS[name](ng.tensor(X), ng.tensor(SRC)), rtol=1e-14)


def test_a_traced_index() -> None:
    f = ng.jit(lambda x, i, s: x.scatter_add(0, i, s) + x.scatter(0, i, s))
    expected = scattered(X, 0, INDEX, SRC, True) + scattered(X, 0, INDEX, SRC, False)
    assert_allclose(f(X, INDEX, SRC), expected)
    with pytest.raises(IndexError, match="out of bounds"):
        f(X, INDEX + 2, SRC)


def test_the_underscore_binds_the_tensor_and_its_views() -> None:
    x = ng.tensor(X)
    row = x[1]
    assert x.index_fill_(0, [1], 5.0) is x
    assert_array_equal(row.numpy(), np.full(4, 5.0))
    assert x.masked_fill_(x > 4, 0.0).sum().item() == pytest.approx(X[[0, 2]].sum())
    w = ng.tensor(X, requires_grad=True)
    y = w * 1
    y.index_fill_(0, [1], 5.0).scatter_add_(0, [[0, 0]], [[1.0, 2.0]])
    y.sum().backward()
    assert_array_equal(w.grad.numpy(), np.array([1.0, 0.0, 1.0])[:, None] * np.ones((3, 4)))
    with pytest.raises(RuntimeError, match="leaf"):
        w.index_fill_(0, [1], 5.0)
    with pytest.raises(RuntimeError, match="shape"):
        ng.tensor(X).select_(0, 1)
    for name in ("nonsense_", "shape_", "_"):
        assert not hasattr(x, name)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: x.scatter(0, np.array([0, 1]), 1.0), "dimensions"),
        (lambda x: x.scatter(0, np.zeros((1, 5), int), 1.0), "larger"),
        (lambda x: x.scatter(0, np.array([[3]]), 1.0), "out of bounds"),
        (lambda x: x.scatter(0, np.array([[0.5]]), 1.0), "integers"),
        (lambda x: x.scatter_add(0, np.array([[0]]), np.ones(1)), "src has"),
        (lambda x: x.index_add(0, [0], np.ones((2, 4))), "shape"),
        (lambda x: x.index_fill(0, [0], np.ones(2)), "number"),
        (lambda x: x.split_with_sizes([1, 1], 0), "add up"),
        (lambda x: x.unsafe_split(0), "positive"),
    ],
    ids=range(9),
)
def test_what_is_refused(call: Any, error: str) -> None:
    with pytest.raises((ValueError, IndexError, TypeError), match=error):
        call(ng.tensor(X))


def test_dim_and_keepdim_beside_axis_and_keepdims() -> None:
    x = ng.tensor(X)
    assert_allclose(ng.sum(x, dim=0, keepdim=True), X.sum(0, keepdims=True))
    assert ng.stack([x, x], dim=1).shape == (3, 2, 4)
    assert ng.cat((x, x), dim=-1).shape == (3, 8)
    assert_allclose(ng.cumsum(x, dim=1), X.cumsum(1))
    assert_allclose(ng.linalg.norm(x, dim=1), np.linalg.norm(X, axis=1))
    assert_allclose(x.flip(dim=0), X[::-1])
    assert ng.gather(x, 1, ng.tensor([[0], [1], [2]])).shape == (3, 1)
    with pytest.raises(TypeError, match="dim"):
        ng.reshape(x, (4, 3), dim=0)


def test_dtypes_by_their_names() -> None:
    for name in ("float16", "float32", "float64", "complex64", "int8", "int64", "uint8"):
        assert getattr(ng, name) == np.dtype(name) == ng.zeros(2, dtype=getattr(ng, name)).dtype
    assert (ng.double, ng.float, ng.long, ng.int, ng.bool) == tuple(
        np.dtype(t) for t in ("f8", "f4", "i8", "i4", "?")
    )
    x = ng.tensor([0.0, 1.5])
    assert [m().dtype for m in (x.long, x.int, x.short, x.half, x.bool, x.cdouble)] == [
        np.dtype(t) for t in ("i8", "i4", "i2", "f2", "?", "c16")
    ]
    assert x.long().type_as(x).dtype == np.float64
    assert "float" not in ng.__all__


def test_new_tensors_like_one() -> None:
    x = ng.tensor([1.0, 2.0], dtype=np.float32)
    made = [x.new_zeros(2, 3), x.new_ones((2, 3)), x.new_full((2, 3), 4), x.new_tensor([[1, 2]])]
    assert all(t.dtype == np.float32 and not t.requires_grad for t in made)
    assert [t.shape for t in made] == [(2, 3), (2, 3), (2, 3), (1, 2)]
    assert x.new_zeros(2, dtype=int).dtype == np.int64
    a, b = x.new_zeros(2), x.new_zeros(2)
    a += 1
    assert b.tolist() == [0.0, 0.0]


def test_draws() -> None:
    x = ng.ones(50, 2, dtype=np.float32)
    assert ng.rand_like(x, rng=0).dtype == ng.randn_like(x, rng=0).dtype == np.float32
    assert_array_equal(ng.rand_like(x, rng=1), ng.rand_like(x, rng=1))
    assert set(ng.randint(2, 5, (200,), rng=0).tolist()) == {2, 3, 4}
    assert ng.randint(3, (2, 2)).shape == (2, 2)
    kept = ng.bernoulli(0.25 * ng.ones(4000), rng=0)
    assert 0.2 < kept.mean().item() < 0.3 and set(kept.tolist()) == {0.0, 1.0}
    with pytest.raises(ValueError, match="from 0 to 1"):
        ng.bernoulli(ng.tensor([1.5]))


def test_detaching_in_place_and_deleting_grad() -> None:
    w = ng.tensor([1.0, 2.0], requires_grad=True)
    y = w * 2
    assert y.detach_() is y and not y.requires_grad and y.is_leaf
    with pytest.raises(RuntimeError, match="views"):
        (w * 2)[:1].detach_()
    (w * w).sum().backward()
    del w.grad
    assert w.grad is None


def test_printing_with_four_digits() -> None:
    x = ng.tensor([1 / 3, 0.5])
    assert repr(x) == "tensor([0.33333333, 0.5       ])"
    with ng.configure(print_precision=4):
        assert repr(x) == "tensor([0.3333, 0.5000])"
        assert repr(ng.ones(2)) == "tensor([1., 1.])"
        assert repr(ng.tensor(2.5)) == "tensor(2.5000)"
        assert repr(ng.tensor([1, 2])) == "tensor([1, 2])"
    with pytest.raises(ValueError, match="print_precision"):
        ng.configure(print_precision=-1)
