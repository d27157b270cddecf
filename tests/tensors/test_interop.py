"""Tensors in other people's hands: pickles, copies, DLPack, SciPy, the Array API's protocol."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nbgrad as ng
import nbgrad.numpy as xp
from nbgrad.errors import AutogradError

OLD = np.lib.NumpyVersion(np.__version__) < "2.1.0"


def with_gradient() -> ng.Tensor:
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    return x


COPIES = [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy, copy.copy]


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy", "copy"])
def test_copies_keep_the_gradient_and_are_leaves_of_their_own(copied: Any) -> None:
    x = with_gradient()
    y = copied(x)
    assert y.is_leaf and y.requires_grad and y is not x
    assert_array_equal(y.grad.numpy(), [2.0, 4.0])
    y.grad = None
    (3.0 * y).sum().backward()
    assert_array_equal(y.grad.numpy(), [3.0, 3.0])
    assert_array_equal(x.grad.numpy(), [2.0, 4.0])


def test_deepcopy_keeps_what_is_shared_shared() -> None:
    x = with_gradient()
    first, second = copy.deepcopy([x, x])
    assert first is second and first.grad is not x.grad
    with pytest.raises(AutogradError, match="graph leaves"):
        copy.deepcopy(x * 2.0)


def test_a_shallow_copy_of_a_result_keeps_its_history() -> None:
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    copy.copy(x * x).sum().backward()
    assert_array_equal(x.grad.numpy(), [2.0, 4.0])


def test_pickles_of_every_dtype() -> None:
    for dtype in ("f4", "f8", "c8", "c16", "i1", "u8", "?"):
        x = ng.tensor(np.ones((2, 3)), dtype=dtype)
        y = pickle.loads(pickle.dumps(x))
        assert (y.dtype, y.shape, y.requires_grad) == (x.dtype, (2, 3), False)


# ------------------------------------------------------------------------------------------ DLPack


@pytest.mark.skipif(OLD, reason="the DLPack of NumPy 2.0 has no read-only memory: it is copied")
def test_dlpack_to_numpy_shares_memory_and_cannot_be_written() -> None:
    x = ng.tensor([1.0, 2.0])
    array = np.from_dlpack(x)
    assert_array_equal(array, [1.0, 2.0])
    assert not array.flags.writeable and np.shares_memory(array, x.numpy(copy=False))


class FirstProtocol:
    """A producer seen by a consumer that knows DLPack before 1.0, which has no read-only flag."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __dlpack__(self, **options: Any) -> Any:
        return self.x.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.x.__dlpack_device__()


def test_dlpack_gives_old_consumers_a_copy() -> None:
    x = ng.tensor([1.0, 2.0])
    array = np.from_dlpack(FirstProtocol(x))
    assert_array_equal(array, [1.0, 2.0])
    assert not np.shares_memory(array, x.numpy())
    with pytest.raises(BufferError, match="copy"):
        x.__dlpack__(copy=False)


def test_dlpack_from_numpy_copies() -> None:
    array = np.arange(3.0)
    x = xp.from_dlpack(array)
    array[0] = 7.0
    assert_array_equal(x.numpy(), [0.0, 1.0, 2.0])


def test_dlpack_of_a_tracked_tensor_says_what_to_write() -> None:
    with pytest.raises(AutogradError, match="detach"):
        np.from_dlpack(with_gradient())


# -------------------------------------------------------------------------------------- conversion


def test_untracked_tensors_convert_and_tracked_ones_say_why_not() -> None:
    x = ng.tensor([3.0, 1.0])
    assert_array_equal(np.asarray(x), [3.0, 1.0])
    assert np.array([x, x]).shape == (2, 2)
    for convert in (np.asarray, lambda t: np.array([t, t])):
        with pytest.raises((AutogradError, ValueError), match=r"detach|sequence"):
            convert(x.requires_grad_())


def test_asarray_in_a_differentiated_function_raises() -> None:
    with pytest.raises(AutogradError, match=r"detach\(\)"):
        ng.grad(lambda x: float(np.sum(np.asarray(x))) * x.sum())(np.ones(2))


def test_scipy_takes_untracked_tensors() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    assert_array_equal(linalg.solve(ng.eye(2), ng.tensor([1.0, 2.0])), [1.0, 2.0])


# --------------------------------------------------------------------------------------- namespace


def test_the_namespace_of_a_tensor() -> None:
    x = ng.tensor([1.0])
    assert x.__array_namespace__() is xp
    assert x.__array_namespace__(api_version="2024.12").__array_api_version__ == "2024.12"
    with pytest.raises(ValueError, match=r"2024\.12"):
        x.__array_namespace__(api_version="1999.01")
    assert x.device == "cpu" and x.to_device("cpu") is x
    with pytest.raises(ValueError, match="cpu"):
        x.to_device("tpu")


def test_asarray_of_a_tensor_is_the_tensor() -> None:
    x = ng.tensor([1.0], requires_grad=True)
    assert xp.asarray(x) is x and xp.asarray(x, dtype=float) is x
    assert xp.asarray(x, copy=True) is not x
    with pytest.raises(ValueError, match="copy=None"):
        xp.asarray([1.0], copy=False)


def test_names_that_hold_no_function_of_arrays_are_numpys() -> None:
    assert xp.float32 is np.float32 and xp.pi == np.pi and xp.errstate is np.errstate
    assert xp.finfo(xp.asarray(1.0)).eps == np.finfo(float).eps
    assert xp.iinfo(xp.asarray([1], dtype=xp.int8)).max == 127
    with pytest.raises(AttributeError, match="nbgrad"):
        xp.no_such_name  # noqa: B018
    assert {"sin", "einsum", "float64", "linalg"} <= set(dir(xp))


def test_operators_on_bits() -> None:
    a, b = np.array([5, 6, 7]), np.array([3, 1, 2])
    x, y = xp.asarray(a), xp.asarray(b)
    for op in ("and", "or", "xor", "lshift", "rshift", "divmod"):
        for name in (f"__{op}__", f"__r{op}__"):
            for other, array in ((y, b), (2, 2)):
                assert_array_equal(getattr(x, name)(other), getattr(a, name)(array), name)
    assert_array_equal((~x).numpy(), ~a)
    assert_array_equal((~(x > 5)).numpy(), ~(a > 5))
    x <<= y
    x |= 1
    assert_array_equal(x.numpy(), (a << b) | 1)
    with pytest.raises(TypeError, match="bitwise_and"):
        ng.tensor([1.0]) & 1


def test_what_the_tables_cannot_check_by_differences() -> None:
    """c_ joins, asarray_chkfinite looks at the values: the gradient passes both."""
    x = ng.tensor([1.0, 2.0], requires_grad=True)
    (xp.c_[x, x * x] * np.array([1.0, 3.0])).sum().backward()
    assert_array_equal(x.grad.numpy(), [7.0, 13.0])
    x.grad = None
    xp.asarray_chkfinite(x * 2.0).sum().backward()
    assert_array_equal(x.grad.numpy(), [2.0, 2.0])
    with pytest.raises(ValueError, match="infs or NaNs"):
        xp.asarray_chkfinite(x / 0.0)
