"""What the table of functions cannot say of shapes and creation: gradients, errors, objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
import nbgrad.numpy as nnp
from nbgrad.core import lookup


def same(found: Any, wanted: Any) -> None:
    assert isinstance(found, ng.Tensor), type(found)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    assert_array_equal(found.detach(), wanted)


# ---------------------------------------------------------------------------------- subscripts


GRIDS = [
    np.s_[0:3],
    np.s_[0:3, 1:5:2],
    np.s_[-1:1:5j],
    np.s_[0.0:1.0:0.25, 2:4],
    np.s_[0:1:3j, 0:2],
]


@pytest.mark.parametrize("key", GRIDS)
@pytest.mark.parametrize("name", ["mgrid", "ogrid"])
def test_grids(name: str, key: Any) -> None:
    wanted, found = getattr(np, name)[key], getattr(nnp, name)[key]
    assert type(found) is (tuple if isinstance(wanted, tuple) else ng.Tensor)
    for ours, theirs in zip(found, wanted, strict=True):
        assert_array_equal(ours.numpy() if isinstance(ours, ng.Tensor) else ours, theirs)


A, B = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
JOINED = [
    ("r_", np.s_[A, B]),
    ("r_", np.s_[np.ones(2), 0, 0, 1:4]),
    ("r_", np.s_[-1:1:3j, [0] * 2, 5]),
    ("r_", np.s_[1, 2.5, 3]),
    ("r_", ("-1", A, B)),
    ("r_", ("0,2", [1.0, 2, 3], [4.0, 5, 6])),
    ("r_", ("0,2,0", [1.0, 2, 3], [4.0, 5, 6])),
    ("r_", ("1,2,0", [1.0, 2, 3], [4.0, 5, 6])),
    ("c_", np.s_[np.ones(2), np.zeros(2)]),
    ("c_", np.s_[A, B]),
    ("c_", np.s_[np.ones((1, 3)), 0, 0, np.ones((1, 3))]),
]


@pytest.mark.parametrize(("name", "key"), JOINED)
def test_joined(name: str, key: Any) -> None:
    same(getattr(nnp, name)[key], getattr(np, name)[key])


def test_joined_keeps_the_gradient() -> None:
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    (nnp.r_[0.0, x, x] * np.arange(5.0)).sum().backward()
    assert_array_equal(x.grad, [4.0, 6.0])
    same(nnp.mgrid[0 : ng.tensor(3)], np.arange(3))


# ------------------------------------------------------------------------------------ creation


def test_array_of_tensors_keeps_the_gradient() -> None:
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    y = nnp.array([[x[0], 1.0], [x.sum(), x[1] * x[0]]])
    y.sum().backward()
    assert y.shape == (2, 2)
    assert_array_equal(x.grad, [4.0, 2.0])
    assert nnp.array(x) is not x and nnp.array(x).requires_grad
    assert nnp.asarray([x, x]).requires_grad and not nnp.array([1.0]).requires_grad


def test_tracked_creation_follows_numpys_dtypes() -> None:
    single = ng.tensor(2.0, dtype=np.float32, requires_grad=True)
    assert nnp.array([single, single]).dtype == np.float32
    assert nnp.array([single, 1.0]).dtype == np.array([np.float32(2), 1.0]).dtype
    assert nnp.linspace(single, 3.0, 4).dtype == np.linspace(np.float32(2), 3.0, 4).dtype
    assert nnp.full((2,), single).dtype == np.float32


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("num", [0, 1, 2, 5])
def test_spaced_numbers_of_tensors(num: int, endpoint: bool) -> None:
    for name, start, stop in [
        ("linspace", -1.0, 2.0),
        ("geomspace", 1.0, 8.0),
        ("logspace", 0, 2.0),
    ]:
        left, right = ng.tensor(float(start), requires_grad=True), ng.tensor(stop)
        found = getattr(nnp, name)(left, right, num, endpoint=endpoint)
        wanted = getattr(np, name)(float(start), stop, num, endpoint=endpoint)
        assert found.shape == wanted.shape and found.dtype == wanted.dtype
        assert_allclose(found.detach(), wanted, rtol=1e-14)


def test_device_and_like() -> None:
    assert nnp.zeros(2, device="cpu").shape == (2,)
    with pytest.raises(ng.errors.DeviceError, match="no backend serves the device 'tpu'"):
        nnp.zeros(2, device="tpu")
    with pytest.raises(TypeError, match="like= is not available"):
        nnp.ones(2, like=np.ones(2))
    with pytest.raises(ValueError, match="negative dimensions"):
        nnp.zeros((2, -1))


def test_kaiser_of_a_tensor() -> None:
    beta = ng.tensor(2.0, requires_grad=True)
    if lookup.ours(np.i0) is None:
        with pytest.raises(NotImplementedError, match="i0"):
            nnp.kaiser(5, beta)
        return
    found = nnp.kaiser(5, beta)
    assert_allclose(found.detach(), np.kaiser(5, 2.0), rtol=1e-12)
    found.sum().backward()
    slope = (np.kaiser(5, 2.0 + 1e-6).sum() - np.kaiser(5, 2.0 - 1e-6).sum()) / 2e-6
    assert_allclose(beta.grad, slope, rtol=1e-8)


# ----------------------------------------------------------------------- values decide the shape


def test_trim_zeros_keeps_the_gradient() -> None:
    x = ng.tensor([0.0, 1.0, 0.0, 2.0, 0.0], requires_grad=True)
    (np.trim_zeros(x) * np.array([1.0, 2.0, 3.0])).sum().backward()
    assert_array_equal(x.grad, [0.0, 1.0, 2.0, 3.0, 0.0])
    for trim in ("f", "b", "fb"):
        same(
            np.trim_zeros(ng.tensor(np.zeros((2, 2))), trim), np.trim_zeros(np.zeros((2, 2)), trim)
        )


def test_traced_shapes_are_refused_and_indices_are_not() -> None:
    x = np.array([1.0, 0.0, 2.0])
    for f in (np.nonzero, np.trim_zeros, np.argwhere):
        with pytest.raises(ng.errors.ConcretizationError):
            ng.jit(lambda t, f=f: f(t * 1.0))(x)
    index = np.array([2, 0, -1])
    for g in (
        lambda t, i: np.take(t, i),
        lambda t, i: np.take(t, i, mode="wrap"),
        lambda t, i: np.take_along_axis(t, i, 0),
        lambda t, i: np.choose(i % 2, [t, t * 2.0]),
    ):
        assert_array_equal(np.asarray(ng.jit(g)(x, index)), np.asarray(g(x, index)))
    with pytest.raises(IndexError):
        np.asarray(ng.jit(lambda t, i: np.take_along_axis(t, i, 0))(x, index + 3))


# ---------------------------------------------------------------------------------- callables


def test_vectorize() -> None:
    def scalar(a: Any, b: Any, shift: float = 0.0) -> Any:
        return a * b + shift if a > b else a - b

    x, y = np.array([[1.0], [4.0]]), np.array([2.0, 3.0])
    t = ng.tensor(x, requires_grad=True)
    found = nnp.vectorize(scalar)(t, y)
    assert_allclose(found.detach(), np.vectorize(scalar)(x, y))
    found.sum().backward()
    assert_array_equal(t.grad, [[2.0], [5.0]])
    assert_allclose(
        nnp.vectorize(scalar, excluded={"shift"})(x, y, shift=2.0).numpy(),
        np.vectorize(scalar, excluded={"shift"})(x, y, shift=2.0),
    )
    pair = nnp.vectorize(lambda a: (a, a * 2), otypes="df")(y)
    assert [p.dtype for p in pair] == [np.float64, np.float32]
    inner = nnp.vectorize(lambda a, b: (a * b).sum(), signature="(n),(n)->()")
    assert_allclose(inner(np.ones((2, 3)), np.arange(3.0)).numpy(), [3.0, 3.0])

    @nnp.vectorize
    def doubled(a: Any) -> Any:
        return a + a

    same(doubled(y), y + y)
    with pytest.raises(ValueError, match="size 0"):
        doubled(np.zeros(0))


def test_piecewise_branches_do_not_leak() -> None:
    x = ng.tensor([-1.0, 4.0], requires_grad=True)
    y = np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, np.sqrt])
    assert_array_equal(y.detach(), [1.0, 2.0])
    y.sum().backward()
    assert_array_equal(x.grad, [-1.0, 0.25])
    for given in (x.detach(), x.detach().numpy()):
        same(nnp.piecewise(given, given < 0, [5.0, 6.0]), np.array([5.0, 6.0]))
    with pytest.raises(ValueError, match="2 functions are expected"):
        nnp.piecewise(x, [x < 0], [1, 2, 3])


def test_iteration() -> None:
    x = ng.tensor([[1.0, 2.0]], requires_grad=True)
    found = dict(nnp.ndenumerate(x))
    assert list(found) == list(nnp.ndindex(1, 2)) == [(0, 0), (0, 1)]
    (found[0, 1] * 3.0).backward()
    assert_array_equal(x.grad, [[0.0, 3.0]])


# -------------------------------------------------------------------------------------- methods


def test_methods() -> None:
    x = np.arange(6.0).reshape(2, 3)
    t = ng.tensor(x)
    same(t.flip(0), np.flip(x, 0))
    same(t.roll(1, axis=1), np.roll(x, 1, axis=1))
    same(t.repeat(2, axis=0), x.repeat(2, axis=0))
    same(t.take([1, 0], axis=1), x.take([1, 0], axis=1))
    same(t.diagonal(), x.diagonal())
    same(t.trace(), np.asarray(x.trace()))
    same(t.tril(), np.tril(x))
    same(t.triu(1), np.triu(x, 1))
    same(t.moveaxis(0, 1), x.T)
    same(t.reshape(3, 2, order="F"), x.reshape(3, 2, order="F"))
    same(t.ravel(order="F"), x.ravel(order="F"))
    same(t.compress([True, False], axis=0), x.compress([True, False], axis=0))
    assert [p.shape for p in t.split(3, 1)] == [(2, 1)] * 3
    assert all(map(np.array_equal, t.nonzero(), x.nonzero()))


# --------------------------------------------------------------------------------------- errors


ERRORS: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (np.flip, (A, 2), {}),
    (np.fliplr, (np.ones(2),), {}),
    (np.rot90, (A,), {"axes": (0, 2)}),
    (np.rot90, (A,), {"axes": (0, -2)}),
    (np.repeat, (A, -1), {}),
    (np.repeat, (A, [1, 2, 3]), {"axis": 0}),
    (np.split, (A, 2, 1), {}),
    (np.hsplit, (np.array(1.0), 1), {}),
    (np.vsplit, (np.ones(2), 1), {}),
    (np.hstack, ([A, np.ones((3, 3))],), {}),
    (np.concatenate, ([np.array(1.0)],), {}),
    (np.stack, ([A, np.ones(2)],), {}),
    (np.block, ([[A], A],), {}),
    (np.insert, (A, 9, 1.0), {}),
    (np.delete, (A, 9), {}),
    (np.pad, (A, -1), {}),
    (np.pad, (A, 1.5), {}),
    (np.pad, (A, 1, "bogus"), {}),
    (np.pad, (A, 1, "edge"), {"constant_values": 1}),
    (np.pad, (np.ones(0), 1, "edge"), {}),
    (np.take, (A, [7]), {}),
    (np.take, (A, np.array([0.5])), {}),
    (np.take, (A, [0]), {"mode": "bogus"}),
    (np.take_along_axis, (A, np.array([[5]]), 0), {}),
    (np.take_along_axis, (A, np.array([0]), 0), {}),
    (np.choose, (np.array([0, 2]), [np.ones(2), np.ones(2)]), {}),
    (np.choose, (np.array([0, -1]), [np.ones(2), np.ones(2)]), {}),
    (np.compress, ([False, False, False, True], A), {"axis": 0}),
    (np.select, ([np.ones(2, bool)], []), {}),
    (np.select, ([np.ones(2)], [np.ones(2)]), {}),
    (np.where, (np.ones(2, bool), np.ones(2)), {}),
    (np.moveaxis, (A, (0, 1), 0), {}),
    (np.moveaxis, (A, (0, 0), (0, 1)), {}),
    (np.reshape, (A, (4, -1)), {}),
    (np.reshape, (A, 6), {"order": "K"}),
    (np.squeeze, (A, 0), {}),
    (np.broadcast_to, (A, (2, 2)), {}),
    (np.diag, (np.ones((1, 1, 1)),), {}),
    (np.diagonal, (A,), {"axis1": 0, "axis2": 0}),
    (np.vander, (A,), {}),
    (np.meshgrid, (A[0], A[1]), {"indexing": "no"}),
    (np.trim_zeros, (A,), {"trim": "x"}),
    (np.rollaxis, (A, 1, 5), {}),
    (np.roll, (A, (1, 2, 3)), {"axis": (0, 1)}),
    (np.nonzero, (np.array(1.0),), {}),
    (np.resize, (A, (-1, 2)), {}),
]


def tensors(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)(tensors(item) for item in x)
    return ng.tensor(x) if isinstance(x, np.ndarray) else x


@pytest.mark.parametrize(
    ("f", "args", "kwargs"), ERRORS, ids=lambda x: getattr(x, "__name__", None)
)
def test_errors_are_of_numpys_type(f: Any, args: Any, kwargs: Any) -> None:
    with pytest.raises((ValueError, IndexError, TypeError)) as theirs:
        f(*args, **kwargs)
    with pytest.raises(theirs.type) as found:
        f(*tensors(args), **tensors(kwargs))
    assert str(found.value), f.__name__


@pytest.mark.parametrize("f", [np.stack, np.concatenate])
def test_out_of_another_shape_is_refused(f: Any) -> None:
    with pytest.raises(ValueError, match=r"out= has shape \(3,\)"):
        f([ng.tensor(A), A], out=np.empty(3))


def test_methods_of_pytorch() -> None:
    x = np.arange(6.0).reshape(2, 3)
    t = ng.tensor(x, requires_grad=True)
    assert [p.shape for p in t.chunk(2, dim=1)] == [(2, 2), (2, 1)]
    for found, wanted in zip(t.unbind(1), x.T, strict=True):
        same(found, wanted)
    same(t.narrow(1, 1, 2), x[:, 1:3])
    same(t.index_select(1, [2, 0]), x[:, [2, 0]])
    same(t.gather(1, [[2, 0]]), np.array([[2.0, 0.0]]))
    same(t.masked_fill(x > 2, -1.0), np.where(x > 2, -1.0, x))
    same(t.masked_select(x > 2), x[x > 2])
    same(t[:1].expand(2, -1), np.repeat(x[:1], 2, axis=0))
    same(t[:1].expand_as(t), np.repeat(x[:1], 2, axis=0))
    same(t.view_as(ng.zeros(6)), x.ravel())
    same(t.movedim(0, 1), x.T)
    same(t.t(), x.T)
    same(t.contiguous(), x)
    (t.gather(0, ng.tensor([[0, 1, 0]])) * np.array([1.0, 2.0, 3.0])).sum().backward()
    assert_array_equal(t.grad, [[1.0, 0.0, 3.0], [0.0, 2.0, 0.0]])
    for wrong in (lambda: t.narrow(1, 2, 2), lambda: t[None].t(), lambda: t.chunk(0)):
        with pytest.raises((ValueError, IndexError)):
            wrong()
