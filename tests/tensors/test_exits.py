"""What leaves nbgrad through NumPy's functions that give no array: files and texts."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.core.missing import near
from nbgrad.errors import AutogradError, ConcretizationError, MissingOperation

File = io.BytesIO
SAVERS: dict[str, Callable[[Any, Any], Any]] = {
    "save": lambda f, x: np.save(f, x),
    "save-keyword": lambda f, x: np.save(f, arr=x),
    "savez": lambda f, x: np.savez(f, x, other=np.ones(2)),
    "savez-name": lambda f, x: np.savez(f, np.ones(2), arr_0_=x),
    "savez_compressed": lambda f, x: np.savez_compressed(f, a=x),
    "savetxt": lambda f, x: np.savetxt(f, x, fmt="%.3f", delimiter=","),
}
PRINTERS: dict[str, Callable[[Any], str]] = {
    "array2string": lambda x: np.array2string(x, precision=2, separator=", "),
    "formatter": lambda x: np.array2string(x, formatter={"float_kind": lambda v: f"<{v:.1f}>"}),
    "array_repr": np.array_repr,
    "array_str": lambda x: np.array_str(x, precision=1),
    "positional": lambda x: np.format_float_positional(x.reshape(-1)[0], precision=2),
    "scientific": lambda x: np.format_float_scientific(x.reshape(-1)[0], precision=2),
}
ARRAYS = {
    "floats": np.array([[1.25, -2.5], [0.0, 1e-3]]),
    "float32": np.array([1.5, 2.5], dtype=np.float32),
    "integers": np.array([3, 4]),
}


def contents(data: bytes) -> Any:
    """What is in a file: the arrays of an archive, whose own bytes hold the time of day."""
    if not data.startswith(b"PK"):
        return data
    with np.load(io.BytesIO(data)) as held:
        return {name: (held[name].dtype, held[name].tolist()) for name in held.files}


def saved(save: Callable[[Any, Any], Any], x: Any) -> Any:
    file = File()
    save(file, x)
    return contents(file.getvalue())


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS)
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_values_are_saved_as_numpy_saves_them(save: Any, array: Any) -> None:
    expected = saved(save, array)
    t = ng.tensor(array)
    assert saved(save, t) == expected
    assert saved(save, t * 1) == expected  # pending
    assert saved(save, ng.stack([t, t])[1]) == expected  # a view
    if array.dtype.kind == "f":
        w = ng.tensor(array, requires_grad=True)
        with ng.no_grad():
            assert saved(save, w) == expected
        assert saved(save, w.detach()) == expected


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS)
def test_saving_what_is_tracked_says_what_to_save_and_writes_nothing(save: Any) -> None:
    w = ng.tensor([1.0, 2.0], requires_grad=True)
    for x in (w, w * 2.0, w[:1]):
        file = File()
        with pytest.raises(
            AutogradError, match=r"numpy\.save\w* .*requires grad.*detach\(\)"
        ) as e:
            save(file, x)
        assert "test_exits.py:" in str(e.value)
        assert file.getvalue() == b""


def test_what_was_written_to_is_saved() -> None:
    t = ng.zeros(4)
    v = t[1:3]
    v[:] = 5.0
    file = File()
    np.save(file, t)
    file.seek(0)
    assert_array_equal(np.load(file), [0.0, 5.0, 5.0, 0.0])


@pytest.mark.parametrize("text", PRINTERS.values(), ids=PRINTERS)
@pytest.mark.parametrize("array", [ARRAYS["floats"], ARRAYS["float32"]], ids=["f8", "f4"])
def test_texts_are_those_of_numpy_tracked_or_not(text: Any, array: Any) -> None:
    """A text has no gradient that could be lost, as print() of a tensor has none."""
    expected = text(array)
    assert text(ng.tensor(array)) == expected
    w = ng.tensor(array, requires_grad=True)
    assert text(w) == expected
    assert text(w * 1) == expected


@pytest.mark.parametrize("leave", [np.array2string, np.array_repr, lambda x: np.save(File(), x)])
def test_a_traced_value_is_neither_saved_nor_printed(leave: Any) -> None:
    def f(x: Any) -> Any:
        leave(x * 2.0)
        return x

    with pytest.raises(ConcretizationError, match=r"^saving an array or printing it, at .*Return"):
        ng.jit(f)(np.ones(2))


# ------------------------------------------------------------------------------------------ windows


@pytest.mark.parametrize(
    ("shape", "window", "axis"),
    [
        ((5,), 3, None),
        ((5,), 0, None),
        ((5,), 5, 0),
        ((3, 4), (2, 3), None),
        ((3, 4), (2,), (-1,)),
        ((2, 6), (3, 2), (1, 1)),
        ((2, 3, 4), (2, 2), (2, 0)),
        ((0, 3), 2, 1),
    ],
)
def test_windows_are_those_of_numpy(shape: Any, window: Any, axis: Any) -> None:
    a = np.arange(float(np.prod(shape))).reshape(shape)
    expected = sliding_window_view(a, window, axis)
    assert_array_equal(sliding_window_view(ng.tensor(a), window, axis).numpy(), expected)
    assert_array_equal(ng.numpy.sliding_window_view(a, window, axis=axis).numpy(), expected)
    jitted = ng.jit(lambda x: sliding_window_view(x, window, axis))
    assert_array_equal(np.asarray(jitted(a)), expected)
    count = sliding_window_view(np.arange(a.size).reshape(shape), window, axis).ravel()
    gradient = ng.grad(lambda x: sliding_window_view(x, window, axis).sum())(a)
    times = np.bincount(count.astype(int), minlength=a.size)
    assert_array_equal(np.asarray(gradient), times.reshape(shape))


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((6,), {}, "window of 6 does not lie"),
        ((-1,), {}, "window of -1"),
        (((2, 2),), {}, "one size for each axis"),
        ((2, 1), {}, "axis"),
        ((2,), {"writeable": True}, "writeable= is not available"),
    ],
)
def test_windows_that_are_none_are_refused(args: Any, kwargs: Any, why: str) -> None:
    with pytest.raises((ValueError, TypeError), match=why):
        sliding_window_view(ng.ones(5), *args, **kwargs)


# ------------------------------------------------------------------------------------- what is near


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("slove", ["solve"]),
        ("einsumm", ["einsum"]),
        ("fill_diag", ["fill_diagonal"]),
        ("padded_quantile", ["quantile"]),
        ("save", []),
        ("savez", []),
        ("savez_compressed", []),
        ("array2string", []),
        ("array_repr", []),
        ("busday_count", []),
    ],
)
def test_what_is_near_is_spelled_alike_or_of_the_same_words(name: str, expected: Any) -> None:
    names = ["solve", "shape", "ravel", "einsum", "fill_diagonal", "quantile", "compress"]
    names += ["array", "array_split", "array_equal", "fromstring", "bincount", "bitwise_count"]
    assert near(name, names) == expected


def test_an_error_without_a_near_name_suggests_none() -> None:
    with pytest.raises(MissingOperation, match=r"numpy\.busday_count") as e:
        np.busday_count(ng.ones(2), ng.ones(2))
    assert "Nearest" not in str(e.value)
