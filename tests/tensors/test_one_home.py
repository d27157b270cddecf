"""One home a function: the top level has those of ``nbgrad.numpy``, and what makes tensors makes leaves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nbgrad as ng


def shared(namespace: Any) -> list[str]:
    """Names of functions that the top level answers to as well; dtypes and modules are others."""
    names = [n for n in dir(namespace) if not n.startswith("_") and hasattr(ng, n)]
    kinds = (np.dtype, ModuleType)
    return [n for n in names if not isinstance(getattr(ng, n), kinds)]


def test_the_top_level_has_the_functions_of_the_namespace() -> None:
    names = shared(ng.numpy)
    assert {"sin", "zeros", "arange", "linspace", "eye", "full_like", "asarray"} <= {*names}
    assert not [n for n in names if getattr(ng, n) is not getattr(ng.numpy, n)]


@pytest.mark.parametrize("space", ["linalg", "fft"])
def test_numpys_namespaces_hold_ours(space: str) -> None:
    ours, numpys = getattr(ng, space), getattr(ng.numpy, space)
    both = [n for n in dir(ours) if not n.startswith("_")]
    assert len(both) > 10
    assert not [n for n in both if getattr(ours, n) is not getattr(numpys, n)]


def test_what_was_asked_for_is_an_attribute() -> None:
    """Or each mention of ``np.zeros`` were a search, of a microsecond."""
    for space in (ng.numpy, ng.linalg, ng.numpy.linalg, ng.fft, ng.special):
        name = next(n for n in dir(space) if n[0] not in "_A" and callable(getattr(space, n)))
        assert vars(space)[name] is getattr(space, name)


def test_no_module_bears_the_name_of_a_function() -> None:
    root = Path(ng.__file__).parent
    modules = {p.stem for p in root.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    modules -= {"__init__"}
    assert {"config", "core", "linalg"} <= modules
    assert not [n for n in modules if not isinstance(getattr(ng, n, ng), ModuleType)]
    assert not [n for n in modules & {*dir(ng.numpy)} if callable(getattr(ng.numpy, n))]


MAKERS: dict[str, Callable[..., Any]] = {
    "zeros": lambda **k: ng.zeros(2, 3, **k),
    "zeros of a tuple": lambda **k: ng.zeros((2, 3), **k),
    "zeros by name": lambda **k: ng.zeros(shape=(2, 3), dtype=ng.float32, **k),
    "ones": lambda **k: ng.ones([2], **k),
    "empty": lambda **k: ng.empty(2, **k),
    "full": lambda **k: ng.full((2,), 7.0, **k),
    "arange": lambda **k: ng.arange(1.0, 3.0, 0.5, **k),
    "linspace": lambda **k: ng.linspace(0.0, 1.0, steps=3, **k),
    "eye": lambda **k: ng.eye(2, 3, **k),
    "eye by name": lambda **k: ng.eye(n=2, m=3, **k),
    "zeros_like": lambda **k: ng.zeros_like(ng.ones(2), **k),
    "ones_like": lambda **k: ng.ones_like([1.0, 2.0], **k),
    "full_like": lambda **k: ng.full_like(ng.ones(2), 3.0, **k),
    "array": lambda **k: ng.array([1.0, 2.0], **k),
}


@pytest.mark.parametrize("name", MAKERS)
def test_what_makes_tensors_makes_leaves(name: str) -> None:
    plain, leaf = MAKERS[name](), MAKERS[name](requires_grad=True)
    assert plain.is_leaf and not plain.requires_grad
    assert leaf.is_leaf and leaf.requires_grad
    np.testing.assert_array_equal(leaf.detach(), plain)
    (leaf * leaf).sum().backward()
    np.testing.assert_array_equal(leaf.grad, 2 * plain)


def test_makers_take_tensors_where_they_may_be() -> None:
    n, t = ng.tensor(2), ng.tensor(2.0, requires_grad=True)
    assert ng.zeros((n, 3)).shape == ng.zeros([n, 3]).shape == ng.full((n, 3), 1.0).shape == (2, 3)
    assert ng.eye(n, 3).shape == ng.eye(N=n, m=3).shape == ng.tri(2, m=3).shape == (2, 3)
    assert ng.linspace(t, 1.0, n).requires_grad and ng.logspace(0, t, 3, dim=0).requires_grad
    assert ng.full((2,), t).requires_grad and ng.full_like(t, t).requires_grad
    assert ng.arange(0.0, 4.0, t).requires_grad and ng.array([t, 1.0]).requires_grad
    assert not ng.zeros_like(t).requires_grad and ng.zeros_like([t, t]).shape == (2,)
    assert ng.linspace(0.0, 1.0, 3, retstep=True)[1].item() == 0.5


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "a tensor as dtype": lambda t: ng.zeros(3, t),
    "by name": lambda t: ng.zeros(3, dtype=t),
    "after numbers": lambda t: ng.full((2,), 1.0, t),
    "after a tensor": lambda t: ng.zeros_like(t, t),
    "twice": lambda t: ng.eye(2, n=3),
    "twice, the second": lambda t: ng.eye(2, 3, m=3),
    "twice by names": lambda t: ng.linspace(0.0, 1.0, axis=1, dim=1),
    "twice in a reduction": lambda t: ng.sum(t, axis=0, dim=0),
    "nothing": lambda t: ng.eye(),
    "too little": lambda t: ng.eye(m=2),
    "an unknown name": lambda t: ng.ones(2, nope=1),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_makers_refuse_what_is_no_setting(mistake: str) -> None:
    """Tensors as settings, what is given twice, by NumPy's name and PyTorch's, and what is unknown."""
    with pytest.raises(TypeError):
        MISTAKES[mistake](ng.tensor([2.0]))


@pytest.mark.parametrize("n", [0, 1, 2, 5, np.int64(3), -1])
@pytest.mark.parametrize("k", [0, 1, -2])
@pytest.mark.parametrize("m", [None, 2, 7])
def test_diagonals_are_numpys(n: Any, m: Any, k: int) -> None:
    try:
        expected = np.eye(n, m, k, np.float32)
    except ValueError:
        with pytest.raises(ValueError, match="negative"):
            ng.eye(n, m, k, np.float32)
        return
    made = ng.eye(n, m, k, np.float32)
    assert made.dtype == expected.dtype
    np.testing.assert_array_equal(made, expected)


def test_lines_are_numpys_bit_by_bit() -> None:
    rng = np.random.default_rng(0)
    ends = [0.0, -0.0, 1.0, 0.1, -3.7, 1e308, -1e308, 5e-324, np.inf, -np.inf, np.nan]
    ends += [float(x) for x in rng.normal(size=9) * 10.0 ** rng.integers(-20, 20, 9)]
    with np.errstate(all="ignore"):
        for start in ends:
            for stop in ends:
                for count in (0, 1, 2, 3, 7, 50):
                    expected = np.linspace(start, stop, count)
                    found = ng.linspace(start, stop, count).numpy()
                    assert found.tobytes() == expected.tobytes(), (start, stop, count)


def test_shapes_are_a_tuple_or_integers() -> None:
    assert (
        ng.zeros(2, 3).shape == ng.zeros((2, 3)).shape == ng.zeros(np.int64(2), 3).shape == (2, 3)
    )
    assert ng.zeros().shape == ng.zeros(()).shape == ()
    assert ng.zeros(2, int).dtype == ng.zeros((2,), int, "C").dtype == ng.int64
    assert ng.zeros(2, 3, ng.float32).dtype == ng.float32


@pytest.mark.parametrize(
    "shape", [(2.5,), (2, "nope"), (2, 3, float, "C", 1), (-1,), (2, None, 3, 4)]
)
def test_what_is_no_shape_is_refused(shape: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        ng.zeros(*shape)


@pytest.mark.parametrize("dtype", [object, "U3", "datetime64[s]"])
def test_dtypes_that_are_no_numbers_are_refused(dtype: Any) -> None:
    for make in (ng.zeros, ng.ones, ng.eye):
        with pytest.raises(TypeError):
            make(2, dtype=dtype)


def test_ends_of_a_range_are_differentiated() -> None:
    t = ng.tensor(0.5, requires_grad=True)
    weights = ng.tensor([1.0, 2.0, 4.0])
    (ng.linspace(t, 1.0, 3) * weights).sum().backward()
    assert t.grad.item() == 1.0 + 2.0 * 0.5
    made = ng.linspace(t, 1.0, 3, requires_grad=True)
    assert made.requires_grad and not made.is_leaf


@pytest.mark.parametrize("make", [ng.zeros_like, ng.ones_like, lambda x: x.new_zeros(2)])
def test_each_call_in_a_trace_makes_its_own(make: Any) -> None:
    """What a call outside made is written in a trace by nobody: it would be one array for all."""
    x = ng.tensor([1.0, 2.0])
    for _ in range(3):
        a, b = make(x), make(x)
        assert a._node is not b._node

    @ng.jit
    def f(x: Any) -> Any:
        z = make(x)
        z[0] = x[1]
        return z

    first = f(x)
    assert first[0].item() == f(x)[0].item() == 2.0


@pytest.mark.parametrize("value", [0, 1, -7, 2**63, True, False, 0.0, -0.0, 2.5, np.inf, 1j, 0j])
@pytest.mark.parametrize("dtype", [None, bool, float, np.float32, np.int8, np.complex64])
def test_what_is_full_of_a_number_is_numpys(value: Any, dtype: Any) -> None:
    """Of each class of numbers and dtype, as a leaf and as a constant of a trace."""
    like = np.ones((2, 1), np.int16)
    calls: list[Callable[[Any], Any]] = [
        lambda np: np.full((2, 0, 3), value, dtype),
        lambda np: np.full(2, value, dtype),
        lambda np: np.full_like(like, value, dtype),
    ]
    for call in calls:
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
                expected = call(np)
        except OverflowError as error:
            if dtype is bool:
                continue  # NumPy takes no large integer for true
            with pytest.raises(type(error)):
                call(ng)
            continue
        made = call(ng)
        assert (made.shape, made.dtype) == (expected.shape, expected.dtype)
        assert made.numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", [3, (2, 3), [2, 3], (), 0, np.array([2, 3]), np.int64(2)])
@pytest.mark.parametrize("make", ["zeros", "ones", "empty"])
def test_shapes_are_numpys_in_a_trace_too(make: str, shape: Any) -> None:
    expected = np.zeros(shape).shape
    assert getattr(ng, make)(shape).shape == expected
    assert ng.jit(lambda x: getattr(ng, make)(shape) * x)(2.0).shape == expected
    for wrong in (-1, (2, -1)):
        with pytest.raises(ValueError, match="negative dimensions"):
            getattr(ng, make)(wrong)
    with pytest.raises(TypeError):
        getattr(ng, make)((2.5, 1))
