"""Views: what is written to one is seen in its base and in every other view, as in NumPy."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
import nbgrad.numpy as gnp

SHAPE = (3, 4)
VALUES = np.arange(12.0).reshape(SHAPE)

VIEWS: dict[str, Callable[[Any], Any]] = {
    "x[1]": lambda x: x[1],
    "x[1:]": lambda x: x[1:],
    "x[::-1, 1::2]": lambda x: x[::-1, 1::2],
    "x[:, 2]": lambda x: x[:, 2],
    "x[None, ..., 1]": lambda x: x[None, ..., 1],
    "x[...]": lambda x: x[...],
    "x[1, 2, ...]": lambda x: x[1, 2, ...],
    "x[np.int64(1)]": lambda x: x[np.int64(1)],
    "x[1][2:]": lambda x: x[1][2:],
    "x.T": lambda x: x.T,
    "x.mT[1]": lambda x: x.mT[1],
    "x.transpose(1, 0)": lambda x: x.transpose(1, 0),
    "x.reshape(-1)": lambda x: x.reshape(-1),
    "x[1:].reshape(2, 2, 2)": lambda x: x[1:].reshape(2, 2, 2),
    "x[:, ::2].reshape(-1)": lambda x: x[:, ::2].reshape(-1),
    "x.ravel()": lambda x: x.ravel(),
    "x.T.ravel()": lambda x: x.T.ravel(),
    "x.T.reshape(-1)": lambda x: x.T.reshape(-1),
    "x.flatten()": lambda x: x.flatten(),
    "x.swapaxes(0, 1)": lambda x: x.swapaxes(0, 1),
    "x[:1].squeeze()": lambda x: x[:1].squeeze(),
    "np.squeeze": lambda x: np.squeeze(x[:, :1]),
    "np.expand_dims": lambda x: np.expand_dims(x, 1),
    "np.moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "np.rollaxis": lambda x: np.rollaxis(x, 1),
    "np.transpose": lambda x: np.transpose(x),
    "np.swapaxes": lambda x: np.swapaxes(x, 0, -1),
    "np.reshape": lambda x: np.reshape(x, (2, 6)),
    "np.ravel": lambda x: np.ravel(x),
    "np.flip": lambda x: np.flip(x),
    "np.fliplr": lambda x: np.fliplr(x),
    "np.flipud": lambda x: np.flipud(x),
    "np.rot90": lambda x: np.rot90(x),
    "np.atleast_3d": lambda x: np.atleast_3d(x),
    "np.matrix_transpose": lambda x: np.matrix_transpose(x),
    "np.split": lambda x: np.split(x, 2, axis=1)[1],
    "np.array_split": lambda x: np.array_split(x, 2)[0],
    "np.hsplit": lambda x: np.hsplit(x, 2)[0],
    "np.vsplit": lambda x: np.vsplit(x, 3)[2],
    "np.unstack": lambda x: (np if hasattr(np, "unstack") else gnp).unstack(x)[1],
    "np.real": lambda x: np.real(x),
    "np.copy": lambda x: np.copy(x),
    "np.roll": lambda x: np.roll(x, 0),
    "np.take": lambda x: np.take(x, [0, 1], axis=0),
    "x[[0, 1]]": lambda x: x[[0, 1]],
    "x[mask]": lambda x: x[x > 3],
    "x.astype": lambda x: x.astype(float),
    "x.copy()": lambda x: x.copy(),
    "asarray(copy=True)": lambda x: (
        np.array(x) if isinstance(x, np.ndarray) else gnp.asarray(x, copy=True)
    ),
    "+x": lambda x: +x,
}


def _multiplied(v: Any, out: Any) -> None:
    np.multiply(v, 3.0, out=out)


WRITES: dict[str, Callable[[Any], None]] = {
    "v[...] =": lambda v: v.__setitem__(..., 7.0),
    "v[0] =": lambda v: v.__setitem__(0, 7.0) if v.ndim else v.__setitem__(..., 7.0),
    "v += 1": lambda v: v.__iadd__(1.0),
    "v *= v": lambda v: v.__imul__(v),
    "np.multiply(out=v)": lambda v: _multiplied(v, v),
    "np.copyto": lambda v: np.copyto(v, v * 2 + 1),
    "np.put": lambda v: np.put(v, [0], 5.0),
    "np.putmask": lambda v: np.putmask(v, np.asarray(v) > 4, -1.0),
    "np.place": lambda v: np.place(v, np.asarray(v) > 4, [-1.0]),
    "np.add.at": lambda v: np.add.at(v, ..., 2.0),
    "v.fill": lambda v: v.fill(2.5),
    "v.flat[1:3] =": lambda v: v.flat.__setitem__(slice(0, 2), [8.0, 9.0]),
    "v.sort()": lambda v: v.sort() if v.ndim else None,
}


def tracked_loss(view: Any, write: Any, x: Any) -> Any:
    """Values of the base and of the view before and after a write, in one number."""
    y = x * 1.0
    v = view(y)
    before = (v * v).sum()
    write(v)
    return (y * np.linspace(1, 2, 12).reshape(SHAPE)).sum() + before + (v * v).sum() * 0.1


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_writes_reach_the_base_where_numpy_s_do(view: Any) -> None:
    for name, write in WRITES.items():
        a, t = VALUES.copy(), ng.tensor(VALUES)
        v, u = view(a), view(t)
        before, earlier = t * 1.0, view(t)
        write(v), write(u)
        assert_array_equal(t.numpy(), a, err_msg=name)
        assert_array_equal(u.numpy(), v, err_msg=name)
        assert_array_equal(before.numpy(), VALUES, err_msg=name)
        if np.shares_memory(v, a):
            assert_array_equal(earlier.numpy(), v, err_msg=name)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_writes_to_the_base_reach_the_view_where_numpy_s_do(view: Any) -> None:
    a, t = VALUES.copy(), ng.tensor(VALUES)
    v, u = view(a), view(t)
    a[1], t[1] = 50.0, 50.0
    assert_array_equal(u.numpy(), v)
    a *= 2
    t *= 2
    assert_array_equal(u.numpy(), v)


@pytest.mark.parametrize("write", ["v[...] =", "v += 1", "v *= v", "np.copyto", "v.sort()"])
@pytest.mark.parametrize("name", ["x[1]", "x.T", "x[::-1, 1::2]", "x.T.reshape(-1)", "np.rot90"])
def test_gradients_before_and_after_a_write(name: str, write: str) -> None:
    """Against central differences of the same program on arrays."""
    view, change = VIEWS[name], WRITES[write]
    point = np.random.default_rng(0).normal(size=SHAPE)
    directions = np.random.default_rng(1).normal(size=SHAPE)

    def plain(a: Any) -> float:
        return float(tracked_loss(view, change, a))

    slope = (plain(point + 1e-6 * directions) - plain(point - 1e-6 * directions)) / 2e-6

    def ours(x: Any) -> Any:
        return tracked_loss(view, change, x)

    for gradient in (ng.grad(ours), ng.jit(ng.grad(ours))):
        assert_allclose(np.sum(gradient(point) * directions), slope, rtol=1e-6)
    x = ng.tensor(point, requires_grad=True)
    ng.jit(ours)(x).backward()
    assert_allclose((x.grad.numpy() * directions).sum(), slope, rtol=1e-6)


def test_views_that_are_gone_leave_nothing_to_those_that_come() -> None:
    """Not even the wish to keep a gradient, which is noted by an identity that may come again."""
    y = ng.tensor(VALUES, requires_grad=True) * 1.0
    for k in range(300):
        v = y[0]
        v.retain_grad()
        y[1] = float(k)  # takes the node of v away
        del v
    group = y._alias
    assert group.retaining <= group.stale.keys() and len(group.stale) <= 2 * group.limit


def test_the_example_of_the_issue() -> None:
    x = ng.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = np.zeros_like(x)
    v = y[1:]
    v[:] = x[1:] ** 2
    y.sum().backward()
    assert y.sum().item() == 13.0
    assert_array_equal(x.grad.numpy(), [0.0, 4.0, 6.0])


def test_rows_that_are_iterated_over() -> None:
    y = ng.tensor(VALUES)
    for row in y:
        row *= 2
    y[0][1] = -1.0
    rows = list(y)
    for k, row in enumerate(rows):
        row += k
    expected = VALUES * 2
    expected[0, 1] = -1
    assert_array_equal(y.numpy(), expected + np.arange(3)[:, None])


def test_overlapping_parts_are_copied_as_if_at_once() -> None:
    a, t = np.arange(6.0), ng.arange(6.0)
    a[1:], t[1:] = a[:-1], t[:-1]
    a[::-1], t[::-1] = a.copy(), t
    assert_array_equal(t.numpy(), a)


def test_real_and_imaginary_parts() -> None:
    a, t = np.array([1 + 2j, 3 + 4j]), ng.tensor([1 + 2j, 3 + 4j])
    for x in (a, t):
        x.real[0] = 7.0
        x.imag += 1.0
        x.imag = x.imag * 2
        x[1:].real[...] = -1.0
    assert_array_equal(t.numpy(), a)


def test_the_diagonal_can_be_written() -> None:
    t = ng.tensor(VALUES[:3, :3])
    t.diagonal()[:] = 0.0
    t.T.diagonal(1).fill_(9.0)
    expected = VALUES[:3, :3].copy()
    np.fill_diagonal(expected, 0.0)
    expected[1, 0] = expected[2, 1] = 9.0
    assert_array_equal(t.numpy(), expected)


def test_torch_s_views() -> None:
    t = ng.tensor(VALUES)
    for part in (*t.unbind(1), *t.chunk(2), t.narrow(1, 0, 2), t.view(4, 3), t.unsqueeze(0)):
        part.add_(1.0)
    expected = VALUES + 4.0
    expected[:, :2] += 1.0
    assert_array_equal(t.numpy(), expected)
    with pytest.raises(RuntimeError, match=r"view size is not compatible.*\.reshape"):
        t.T.view(-1)


@pytest.mark.parametrize(
    "view",
    [lambda t: np.broadcast_to(t, (2, 3)), lambda t: t.expand(2, 3)[0]],
    ids=["broadcast_to", "expand"],
)
def test_what_is_broadcast_is_read_only(view: Any) -> None:
    t = ng.tensor([1.0, 2.0, 3.0])
    v = view(t)
    with pytest.raises(ValueError, match="assignment destination is read-only"):
        v[...] = 0.0
    t[0] = 5.0
    assert v.numpy().reshape(-1)[0] == 5.0
    assert_array_equal(t.numpy(), [5.0, 2.0, 3.0])


def test_reshape_copies_where_it_is_asked_to() -> None:
    t = ng.tensor(VALUES)
    for copy in (t.reshape(-1, copy=True), gnp.reshape(t, -1, copy=True)):
        copy[0] = 9.0
    assert_array_equal(t.numpy(), VALUES)
    for view in (t.reshape(-1, copy=False), gnp.reshape(t, -1, copy=False)):
        view += 1.0
    assert_array_equal(t.numpy(), VALUES + 2.0)
    for refused in (lambda: t.T.reshape(-1, copy=False), lambda: gnp.reshape(t.T, -1, copy=False)):
        with pytest.raises(ValueError, match="Unable to avoid creating a copy"):
            refused()


def test_what_copies_only_if_it_must() -> None:
    t = ng.tensor([np.nan, 1.0, np.inf])
    assert np.nan_to_num(t[1:], False, posinf=2.0).tolist() == [1.0, 2.0]
    assert gnp.nan_to_num(t, copy=False) is t and t.tolist() == [0.0, 1.0, 2.0]
    np.nan_to_num(t)[0] = 9.0
    t.astype(float)[0] = gnp.astype(t, float)[0] = 9.0
    assert t.tolist() == [0.0, 1.0, 2.0]
    for k, same in enumerate(
        (
            t.astype(float, copy=False),
            gnp.astype(t, float, copy=False),
            gnp.ascontiguousarray(t),
            np.real_if_close(t),
            np.atleast_1d(t),
            t.to(float),
            gnp.asarray(t),
        )
    ):
        same[0] = k
        assert t[0].item() == k


def test_elements_are_copies_that_torch_s_methods_write_through() -> None:
    t = ng.tensor([1.0, 2.0, 3.0])
    first, second = t[0], t[1]
    t[0], t[1] = second, first
    first += 100.0
    assert_array_equal(t.numpy(), [2.0, 1.0, 3.0])
    assert first.item() == 101.0 and second.item() == 2.0
    t[2].mul_(2.0)
    t[1:][0].copy_(9.0)
    np.add(t[0], 5.0, out=t[0])
    assert_array_equal(t.numpy(), [7.0, 9.0, 6.0])


def test_what_is_there_already_is_written_if_it_has_another_value_or_history() -> None:
    t = ng.tensor([1.0, 2.0])
    first = t[0]
    t[0] = 7.0
    t[0] = first
    assert t.tolist() == [1.0, 2.0]
    w = leaf()
    d = w.detach()
    d[1:] = w[1:]
    assert d.requires_grad
    d.sum().backward()
    assert w.grad.tolist() == [0.0, 1.0, 1.0]


def test_long_chains_of_views() -> None:
    t = ng.tensor(VALUES)
    v = t
    for _ in range(201):
        v = v.T
    v[0] = -1.0
    expected = VALUES.copy()
    expected[:, 0] = -1.0
    assert_array_equal(t.numpy(), expected)
    t[1] = 5.0
    assert_array_equal(v.numpy(), t.numpy().T)


def test_views_outlive_their_base() -> None:
    x = ng.tensor(VALUES, requires_grad=True)
    y = x * 2.0
    first, second = y[0], y[:2, 1:]
    gone = weakref.ref(y)
    del y
    gc.collect()
    assert gone() is None
    first *= 3.0
    second[1] = 0.0
    assert_array_equal(second.detach().numpy()[0], 6.0 * VALUES[0, 1:])
    (first.sum() + second.sum()).backward()
    assert_array_equal(x.grad.numpy()[:2], [[6.0, 12.0, 12.0, 12.0], [0.0, 0.0, 0.0, 0.0]])


def test_views_cost_no_memory_and_keep_nothing_alive() -> None:
    y = ng.zeros(4)
    for _ in range(2000):
        y[1:]
    assert len(y._alias) < 300
    held = weakref.ref(y)
    kept = y[1:]
    del y
    assert held() is None and kept.shape == (3,)


@pytest.mark.parametrize("calls", [3, 90])
def test_views_are_the_same_hot(calls: int) -> None:
    """Once a structure is hot, machine code records it."""
    for k in range(calls):
        t = ng.tensor(VALUES)
        row, column, flat = t[1], t.T[2], t.reshape(-1)
        row += float(k)
        flat[-1] = -1.0
        expected = VALUES.copy()
        expected[1] += k
        expected[2, 3] = -1.0
        assert float((column * 2.0 + row.sum()).sum()) == float(
            (expected[:, 2] * 2 + expected[1].sum()).sum()
        )
        assert_array_equal(t.numpy(), expected)


def test_a_compiled_function_writes_to_its_own_tensors_only() -> None:
    total = ng.zeros(3)
    part = total[1:]
    for write in (lambda x: total.add_(x), lambda x: part.__setitem__(0, x[0])):
        with pytest.raises(TypeError, match="traced function writes to a tensor from outside"):
            ng.jit(lambda x: (write(x), x.sum())[1])(np.ones(3))  # noqa: B023
    assert total.tolist() == [0.0, 0.0, 0.0]

    def f(x: Any) -> Any:
        own = total.copy()
        own[1:] += x[1:]
        x *= 2.0
        return own.sum() + x.sum()

    assert float(ng.jit(f)(np.ones(3))) == 8.0


# ------------------------------------------------------------------------- leaves, no_grad, detach


def leaf() -> Any:
    return ng.tensor([1.0, 2.0, 3.0], requires_grad=True)


def test_errors_of_leaves_and_their_views() -> None:
    w = leaf()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used"):
        w[0] = 1.0
    for view in (w[1:], w.reshape(3, 1).T, w[None][0]):
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
            view[...] = 1.0
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
            view.mul_(2.0)
    with ng.no_grad():
        unrecorded = (w * 1.0)[1:], w[1:]
    unrecorded[1].mul_(1.0)
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode"):
        unrecorded[1].mul_(w[:2])
    assert_array_equal(w.detach().numpy(), [1.0, 2.0, 3.0])


COPIES = ["np.copy", "np.roll", "x.astype", "x.copy()", "asarray(copy=True)", "+x", "x.flatten()"]


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_leaves_can_be_written(name: str) -> None:
    w = leaf()
    copy = VIEWS[name](w)
    copy[0] = 5.0
    copy.sum().backward()
    assert_array_equal(w.grad.numpy(), [0.0, 1.0, 1.0])
    assert_array_equal(w.detach().numpy(), [1.0, 2.0, 3.0])


def test_writing_under_no_grad_keeps_the_history() -> None:
    """It changes the values alone: the gradient is that of what was there, as in PyTorch."""
    for write in (
        lambda y: y.mul_(3.0),
        lambda y: y[1:].mul_(3.0),
        lambda y: y.detach()[:2].fill_(7.0),
        lambda y: y.data.T.zero_(),
        lambda y: np.copyto(y, 1.0),
    ):
        w = leaf()
        y = w * 2.0
        name = y.grad_fn.name()
        with ng.no_grad():
            write(y)
        assert y.requires_grad and y.grad_fn.name() == name == "MulBackward0"
        written = y.tolist()
        (y * y).sum().backward()
        assert_array_equal(w.grad.numpy(), 4.0 * np.array(written))


def test_leaves_are_written_under_no_grad_through_views_and_data() -> None:
    w = leaf()
    view = w[1:]
    with ng.no_grad():
        w[0] = 5.0
        view *= 2.0
        w[2].zero_()
    w.data[1] -= 1.0
    w.data += 1.0
    w.detach().clamp_(0.0, 5.0)
    assert w.is_leaf and w.requires_grad
    assert_array_equal(w.detach().numpy(), [5.0, 4.0, 1.0])
    assert_array_equal(view.detach().numpy(), [4.0, 1.0])
    (w * view.sum()).sum().backward()
    assert_array_equal(w.grad.numpy(), [5.0, 15.0, 15.0])


def test_detached_tensors_share_values_and_no_history() -> None:
    w = leaf()
    y = w * 1.0
    d, e = y.detach(), y[1:].detach()
    y[1] = w[0] * 10.0
    assert d.tolist() == [1.0, 10.0, 3.0] and e.tolist() == [10.0, 3.0]
    e[1] = 4.0
    assert d.tolist() == y.tolist() == [1.0, 10.0, 4.0]
    d.mul_(w)  # now it has a history of its own
    assert y.tolist() == [1.0, 20.0, 12.0] and e.tolist() == [20.0, 12.0]
    (y.sum() + 100.0 * d.sum()).backward()
    assert_array_equal(w.grad.numpy(), [111.0, 1000.0, 401.0])
    del y
    e[0] = 0.0
    assert d.tolist() == [1.0, 0.0, 12.0]


def test_detaching_the_base_does_not_detach_views() -> None:
    w = leaf()
    y = w * 1.0
    v = y[1:]
    y.mul_(2.0)
    y.detach_()
    assert not y.requires_grad and v.requires_grad
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        v.detach_()
    v.sum().backward()
    assert w.grad.tolist() == [0.0, 2.0, 2.0]


def test_what_shares_memory() -> None:
    t, c = ng.tensor(VALUES), ng.tensor([1 + 2j])
    assert np.shares_memory(t, t[1:]) and np.shares_memory(t[1:].T, t.detach()[:2])
    assert np.may_share_memory(t[:, 1], t[2]) and np.shares_memory(c.real, c)
    assert not np.shares_memory(t[0], t[1:]) and not np.shares_memory(t, t.copy())
    assert not np.shares_memory(c.real, c.imag) and not np.shares_memory(t[0, 0], t)
    assert t[1:].T.base is t and t.base is None


def test_a_view_can_become_a_leaf() -> None:
    base = ng.zeros(3)
    v = base[1:].requires_grad_()
    base[1] = 5.0
    assert v.is_leaf and v.requires_grad and v.tolist() == [5.0, 0.0]
    with ng.no_grad():
        v += 1.0
    assert base.tolist() == [0.0, 6.0, 1.0]
    (v * base[1:]).sum().backward()
    assert v.grad.tolist() == [6.0, 1.0]


def test_hooks_of_a_leaf_run_once_whatever_was_written_to_it() -> None:
    def with_no_grad(w: Any) -> None:
        with ng.no_grad():
            w.mul_(2.0)

    def by_optimizer(w: Any) -> None:
        w.grad = ng.ones(3)
        ng.optim.SGD([w], lr=0.1).step()
        w.grad = None

    def by_data(w: Any) -> None:
        w.data = w.data * 2.0

    for write in (with_no_grad, by_optimizer, by_data, lambda w: w.detach().add_(1.0)):
        w, seen = leaf(), []
        w.register_hook(lambda g: seen.append(g.tolist()) or g * 0.5)  # noqa: B023
        before = (w * 2.0).sum()
        write(w)
        (before + (w * 3.0).sum()).backward()
        assert seen == [[5.0, 5.0, 5.0]]
        assert w.grad.tolist() == [2.5, 2.5, 2.5]


def test_a_retained_gradient_follows_what_is_written() -> None:
    w = leaf()
    y = w * 2.0
    y.retain_grad()
    v = y[1:]
    v.retain_grad()
    y.mul_(3.0)
    (y.sum() + v.sum()).backward()
    assert y.grad.tolist() == [1.0, 2.0, 2.0]
    assert v.grad.tolist() == [1.0, 1.0]
    assert w.grad.tolist() == [6.0, 12.0, 12.0]


def test_gradients_of_a_written_view_are_those_of_its_own_uses() -> None:
    w = leaf()
    y = w * 1.0
    first, second = y[:], y[:]
    first.retain_grad()
    second.retain_grad()
    first.mul_(2.0)
    (first + 10.0 * second).sum().backward(retain_graph=True)
    assert first.grad.tolist() == [1.0] * 3 and second.grad.tolist() == [10.0] * 3
    assert w.grad.tolist() == [22.0] * 3
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        ng.autograd.grad(y.sum(), first)


def test_views_of_a_gradient_see_what_is_added() -> None:
    w = leaf()
    w.sum().backward()
    v = w.grad[1:]
    w.sum().backward()
    assert v.tolist() == [2.0, 2.0]
    w.grad.zero_()
    assert v.tolist() == [0.0, 0.0]


# ------------------------------------------------------------------------ what arrays have besides


def test_sorting_in_place() -> None:
    a = np.random.default_rng(0).normal(size=SHAPE)
    t = ng.tensor(a)
    assert a.sort() is None and t.sort() is None
    assert_array_equal(t.numpy(), a)
    a[:, 1].sort(), t[:, 1].sort()
    a.sort(axis=0), t.sort(axis=0)
    assert_array_equal(t.numpy(), a)
    b = ng.tensor([3.0, 1.0, 2.0])
    assert b.partition(1) is None
    assert b[1].item() == 2.0


def test_flat() -> None:
    a, t = VALUES.copy(), ng.tensor(VALUES)
    for x in (a, t):
        x.flat[3] = -1.0
        x.flat[[0, 5]] = [7.0, 8.0]
        x.flat[6:11] = [1.0, 2.0]
        x.T.flat[1] = 40.0
    assert_array_equal(t.numpy(), a)
    assert [float(e) for e in t.flat] == a.ravel().tolist()
    assert len(t.flat) == 12 and t.flat[2:4].tolist() == a.flat[2:4].tolist()
    assert_array_equal(np.asarray(t.flat), a.ravel())
    t.flat = 0.0
    assert not t.numpy().any()


def test_sizes_in_bytes() -> None:
    a, t = VALUES.astype(np.float32), ng.tensor(VALUES.astype(np.float32))
    assert (t.nbytes, t.itemsize, t.tobytes()) == (a.nbytes, a.itemsize, a.tobytes())
    assert t.T.tobytes() == a.T.tobytes()


def test_numbers_of_the_standard_library() -> None:
    t = leaf()[1] * 1.26
    assert round(t) == 3 and type(round(t)) is int
    assert round(t, 1).item() == 2.5 and math.trunc(t) == 2
    assert round(ng.tensor([1.26, 2.5]), 1).tolist() == [1.3, 2.5]


@pytest.mark.parametrize(
    "one", [ng.tensor(1), np.array(1), np.int64(1)], ids=["tensor", "0-d", "np"]
)
def test_axes_and_counts_may_be_0d(one: Any) -> None:
    t = ng.tensor(VALUES)
    for function in (np.flip, np.cumsum, np.cumprod, np.sort, np.sum, np.mean, np.argmax, np.triu):
        assert_allclose(function(t, one).numpy(), function(VALUES, 1))
    assert_array_equal(np.roll(t, one, one).numpy(), np.roll(VALUES, 1, 1))
    assert_array_equal(np.concatenate([t, t], one).shape, (3, 8))
    with pytest.raises(TypeError, match="only integer scalars can be an index"):
        np.flip(t, ng.tensor(1.0))


def test_booleans_can_be_copied_and_0d_results_written() -> None:
    assert ng.tensor([True]).copy().tolist() == [True]
    y = ng.tensor([1.0, 2.0]).sum()
    y[...] = leaf()[1]
    assert y.item() == 2.0 and y.requires_grad


def test_as_tensor_shares_only_what_nobody_can_write() -> None:
    a = np.arange(3.0)
    view = a[:]
    view.flags.writeable = False
    t = ng.as_tensor(view)
    a[0] = 9.0
    assert t.tolist() == [0.0, 1.0, 2.0]
    a.flags.writeable = False
    assert np.shares_memory(ng.as_tensor(a[1:]).numpy(copy=False), a)
