"""Arrays and numbers of other libraries: honoured, or refused; no mask, unit or gradient is lost."""

from __future__ import annotations

import array
import importlib
import operator
import warnings
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad
from scipy.optimize import brentq

import nbgrad as ng
from nbgrad.errors import ForeignError


class ByOperators(np.ndarray):
    """An array with a unit in its operators alone."""

    def __mul__(self, other: Any) -> Any:
        return "with a unit"


class ByProtocol(np.ndarray):
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return NotImplemented


class ByPriority(np.ndarray):
    __array_priority__ = 21.0


class ByAttribute(np.ndarray):
    unit = "m"


class Converts:
    """No array at all, but one that NumPy would make an array of, without its unit."""

    units = "m"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.ones(3)


class Plain(np.ndarray):
    """An array that only has a name."""

    def __array_finalize__(self, other: Any) -> None:
        self.name = getattr(other, "name", "data")


NUMBERS = np.array([1.0, 2.0, 3.0])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that there are matrices at all
    matrix = np.matrix(NUMBERS)
MASKED = np.ma.array(NUMBERS, mask=[False, False, True])
MEANINGFUL = {
    "masked": MASKED,
    "masked within a list": [MASKED, MASKED],
    "the masked constant": [1.0, 2.0, np.ma.masked],
    "matrix": matrix,
    "operators": NUMBERS.view(ByOperators),
    "protocol": NUMBERS.view(ByProtocol),
    "priority": NUMBERS.view(ByPriority),
    "attribute": NUMBERS.view(ByAttribute),
    "converted": Converts(),
}
WAYS: dict[str, Callable[[ng.Tensor, Any], Any]] = {
    "t * x": lambda t, x: t * x,
    "t - x": lambda t, x: t - x,
    "t @ x": lambda t, x: t @ x,
    "t ** x": lambda t, x: t**x,
    "t > x": lambda t, x: t > x,
    "x / t": lambda t, x: ng.divide(x, t),
    "np.multiply": lambda t, x: np.multiply(t, x),
    "np.dot": lambda t, x: np.dot(t, x),
    "np.concatenate": lambda t, x: np.concatenate([t, x]),
    "np.where": lambda t, x: np.where([True, False, True], t, x),
    "method": lambda t, x: t.add(x),
    "write": lambda t, x: t.clone().__setitem__(slice(None), x),
    "index": lambda t, x: t[x],
    "jit": lambda t, x: ng.jit(lambda a, b: a * 2.0)(x, 1.0),
    "closure": lambda t, x: ng.jit(lambda a: a * x)(np.ones(3)),
    "grad": lambda t, x: ng.grad(lambda a: a.sum())(x),
    "result": lambda t, x: ng.grad(lambda a: x)(np.ones(3)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", MEANINGFUL)
def test_what_is_more_than_numbers_is_refused(kind: str, way: str) -> None:
    for tracked in (True, False):
        t = ng.tensor(NUMBERS, requires_grad=tracked)
        with pytest.raises(TypeError):
            WAYS[way](t, MEANINGFUL[kind])


@pytest.mark.parametrize("kind", [k for k in MEANINGFUL if k != "matrix"])
def test_tensors_of_what_is_more_than_numbers(kind: str) -> None:
    for make in (ng.tensor, ng.as_tensor, ng.numpy.asarray, ng.numpy.array):
        with pytest.raises(ForeignError, match="would be lost"):
            make(MEANINGFUL[kind])


def test_a_masked_array_of_which_nothing_is_masked_is_numbers() -> None:
    for mask in (np.ma.nomask, [False] * 3):
        m = np.ma.array(NUMBERS, mask=mask)
        assert_array_equal(ng.tensor(m), NUMBERS)
        assert_array_equal(ng.jit(lambda a, m=m: a * m)(m), NUMBERS**2)


def test_a_matrix_converts_when_it_is_asked_to() -> None:
    assert ng.tensor(matrix).shape == (1, 3)


@pytest.mark.parametrize(
    "x",
    [
        range(1, 4),
        array.array("d", NUMBERS),
        memoryview(NUMBERS),
        deque(NUMBERS),
        NUMBERS.view(Plain),
        np.rec.array(NUMBERS),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_is_numbers_alone_is_taken(x: Any) -> None:
    t = ng.tensor(NUMBERS, requires_grad=True)
    for product in (t * x, x * t, np.multiply(x, t), ng.tensor(x) * t):
        assert_array_equal(product.detach(), NUMBERS * NUMBERS)
    (x * t).sum().backward()
    assert_array_equal(t.grad, NUMBERS)


def test_numbers_of_other_kinds_are_floats() -> None:
    t = ng.tensor(NUMBERS, dtype=np.float32, requires_grad=True)
    half = Fraction(1, 2)
    for found in (t * half, half * t, t**half, half - t):
        assert found.dtype == np.float32 and found.requires_grad
    assert_allclose((half - t).detach(), 0.5 - NUMBERS)


def test_sequences_that_are_no_numbers_say_so() -> None:
    t = ng.tensor(NUMBERS)
    for x in ("abc", b"abc", None, {}, {1.0}, object(), np.array(["a", "b", "c"])):
        with pytest.raises(TypeError):
            t * x
        with pytest.raises(TypeError):
            x * t


@pytest.mark.parametrize("dtype", ["M8[s]", "m8[s]", "U1", object, [("a", float)]])
def test_dtypes_without_numbers(dtype: Any) -> None:
    x = np.zeros(3, dtype)
    for ask in (ng.tensor, lambda a: ng.ones(3) * a, ng.jit(lambda a: a), ng.grad(ng.sum)):
        with pytest.raises(TypeError):
            ask(x)


def test_a_dependent_container_answers_for_itself() -> None:
    """Operators and ufuncs leave it to a container that knows how to hold tensors."""

    class Wrapper:
        def __init__(self, held: Any) -> None:
            self.held = held

        def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
            return Wrapper(ufunc(*[getattr(x, "held", x) for x in inputs]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.held, name)  # also ``_node``: that must not be asked for

        def __rmul__(self, other: Any) -> Any:
            return Wrapper(other * self.held)

    t = ng.tensor(NUMBERS, requires_grad=True)
    for found in (t * Wrapper(t), np.multiply(t, Wrapper(t)), np.multiply(Wrapper(t), t)):
        assert isinstance(found, Wrapper) and isinstance(found.held, ng.Tensor)
    with pytest.raises(TypeError):
        t + Wrapper(t)


# ------------------------------------------------------------------------ the libraries themselves


def package(name: str) -> Any:
    return pytest.importorskip(name)


def gradient(f: Callable[[Any], Any], x: Any = NUMBERS) -> Any:
    return ng.grad(lambda a: ng.sum(f(a)))(x)


SERIES = {
    "plain": lambda pd: pd.Series(NUMBERS, index=list("abc")),
    "nullable": lambda pd: pd.Series(NUMBERS, dtype="Float64"),
    "sparse": lambda pd: pd.Series(pd.arrays.SparseArray(NUMBERS)),
    "index": lambda pd: pd.Index(NUMBERS),
    "frame": lambda pd: pd.DataFrame({"a": NUMBERS}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SERIES)
def test_pandas_beside_a_tensor(kind: str) -> None:
    s = SERIES[kind](package("pandas"))
    values = np.asarray(s, float)
    s = s if values.shape == (3,) else s.T
    values = values.reshape(-1)
    for f in (lambda a: a * s, lambda a: s * a, lambda a: s - a, lambda a: s / a, lambda a: a**s):
        h = 1e-6
        slope = (np.asarray(f(NUMBERS + h), float) - np.asarray(f(NUMBERS - h), float)) / (2 * h)
        assert_allclose(gradient(f).sum(), slope.sum(), rtol=1e-6)
        assert isinstance(f(ng.tensor(NUMBERS)), ng.Tensor)
    assert_array_equal(gradient(lambda a: s * a), values)
    assert_array_equal(ng.jit(lambda a: a * 2.0)(s), np.asarray(s) * 2.0)
    assert_array_equal(gradient(lambda a: a, s), np.ones(s.shape))


def test_pandas_in_a_regression() -> None:
    pd = package("pandas")
    X, y = pd.DataFrame(np.eye(3)), pd.Series([1.0, 0.0, 2.0])
    loss = lambda w: ((ng.tensor(X) @ w - y) ** 2).sum()
    assert_array_equal(ng.grad(loss)(NUMBERS), 2.0 * (NUMBERS - y.to_numpy()))
    assert_array_equal(ng.jit(ng.grad(loss))(NUMBERS), 2.0 * (NUMBERS - y.to_numpy()))


def test_indices_of_other_kinds() -> None:
    t = ng.tensor(NUMBERS, requires_grad=True)
    assert_array_equal(t[range(2)].detach(), NUMBERS[:2])
    assert_array_equal(t[deque([2, 0])].detach(), [3.0, 1.0])
    pd = package("pandas")
    for index in (pd.Series(NUMBERS) > 1.0, pd.Index([1, 2]), pd.array([False, True, True])):
        assert_array_equal(t[index].detach(), [2.0, 3.0])
    u = ng.tensor(NUMBERS)
    u[pd.Series(NUMBERS) > 1.0] = 0.0
    assert_array_equal(u, [1.0, 0.0, 0.0])
    with pytest.raises(TypeError, match="missing"):
        t[pd.array([True, None, True])]


def test_pandas_without_numbers_or_with_missing_ones() -> None:
    pd = package("pandas")
    t = ng.tensor(NUMBERS)
    for x in (
        pd.array([1.0, None, 3.0], dtype="Float64"),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Categorical([1.0, 2.0, 3.0]),
        pd.Series(["a", "b", "c"]),
        pd.Series([1.0, None, "a"], dtype=object),
        pd.date_range("2020-01-01", periods=3),
        pd.DataFrame({"a": NUMBERS, "b": list("abc")}),
    ):
        for ask in (ng.tensor, lambda a: t * a, lambda a: a * t, ng.jit(lambda a: a)):
            with pytest.raises(TypeError):
                ask(x)


def test_polars() -> None:
    pl = package("polars")
    s = pl.Series(NUMBERS)
    assert_array_equal(gradient(lambda a: a * s), NUMBERS)
    one = ng.tensor(2.0, requires_grad=True)
    for x in (s, pl.Series([1.0, None, 3.0])):
        with pytest.raises((TypeError, RuntimeError)):
            x * one  # polars asks for a float, which would cut the graph
    with pytest.raises(ForeignError, match="missing"):
        ng.tensor(pl.Series([1.0, None, 3.0]))


def test_pint_keeps_units() -> None:
    Q = package("pint").UnitRegistry().Quantity
    t = ng.tensor(NUMBERS, requires_grad=True)
    for q in (Q(NUMBERS, "m") * t, t * Q(NUMBERS, "m"), np.multiply(t, Q(NUMBERS, "m"))):
        assert str(q.units) == "meter" and q.magnitude.requires_grad
    for name in ("sum", "mean", "std", "max", "min", "cumsum", "flatten", "conj", "ptp"):
        assert str(getattr(Q(t, "m"), name)().units) == "meter", name
    assert str(Q(t, "m").var().units) == "meter ** 2"
    for ask in (ng.tensor, ng.sin, ng.jit(lambda a: a), ng.grad(lambda a: a.sum()), t.add):
        with pytest.raises(TypeError, match="unit"):
            ask(Q(NUMBERS, "m"))
    with pytest.raises(TypeError, match="unit"):
        ng.grad(lambda a: (Q(NUMBERS, "m") * a).sum())(NUMBERS)


@pytest.mark.parametrize("make", ["unyt.unyt_array", "astropy.units.Quantity"])
def test_arrays_with_units(make: str) -> None:
    name, _, kind = make.rpartition(".")
    package(name.partition(".")[0])
    q = getattr(importlib.import_module(name), kind)(NUMBERS, "m")
    t = ng.tensor(NUMBERS, requires_grad=True)
    for ask in (lambda: t * q, lambda: q * t, lambda: np.multiply(q, t), lambda: ng.tensor(q)):
        with pytest.raises((TypeError, RuntimeError)):
            ask()
    with pytest.raises(TypeError, match="unit"):
        ng.jit(lambda a: a)(q)


def test_xarray_holds_tensors() -> None:
    xr = package("xarray")
    da = xr.DataArray(NUMBERS, dims="x")
    t = ng.tensor(NUMBERS, requires_grad=True)
    for found in (da * t, t * da, np.multiply(t, da)):
        assert found.dims == ("x",) and found.data.requires_grad
    assert_array_equal(gradient(lambda a: (da * a).sum()), NUMBERS)
    assert_array_equal(ng.jit(lambda a, b: a * b)(da, NUMBERS), NUMBERS**2)
    assert_array_equal(ng.tensor(da), NUMBERS)


def test_dask_is_computed() -> None:
    da = package("dask.array")
    D = da.from_array(NUMBERS, chunks=2)
    for f in (lambda a: D * a, lambda a: a * D, lambda a: np.multiply(a, D)):
        assert_array_equal(gradient(f), NUMBERS)
    assert_array_equal(ng.jit(lambda a: a * 2.0)(D), NUMBERS * 2.0)


def test_scipy_sparse_multiplies_and_is_refused_as_numbers() -> None:
    sparse = package("scipy.sparse")
    t = ng.tensor(NUMBERS, requires_grad=True)
    for S in (sparse.csr_array(np.eye(3)), sparse.coo_matrix(np.eye(3))):
        for ask in (lambda S=S: t * S, lambda S=S: t + S, lambda S=S: ng.tensor(S)):
            with pytest.raises(ForeignError, match="toarray"):
                ask()
        for product in (t @ S, S @ t):
            assert_array_equal(ng.autograd.grad(product.sum(), t)[0], np.ones(3))
    with pytest.raises(RuntimeError, match="would cut the gradient"):
        sparse.csr_array(np.eye(3)) * t  # of their elements, in SciPy's arrays


def test_sympys_numbers() -> None:
    sympy = package("sympy")
    for x in (sympy.Float(2), sympy.Rational(4, 2), sympy.Integer(2)):
        for t in (ng.tensor(3.0, requires_grad=True), ng.tensor(NUMBERS, requires_grad=True)):
            (x * t + t * x).sum().backward()
            assert_array_equal(t.grad, np.full(t.shape, 4.0))
    with pytest.raises(TypeError):
        sympy.Symbol("x") * ng.tensor(1.0)


def test_torchs_tensors_are_constants_unless_they_have_a_graph() -> None:
    torch = package("torch")
    t, theirs = ng.tensor(NUMBERS, requires_grad=True), torch.tensor(NUMBERS)
    assert_array_equal(ng.tensor(theirs), NUMBERS)
    for f in (lambda a: a * theirs, lambda a: theirs * a, lambda a: np.multiply(a, theirs)):
        assert_array_equal(gradient(f), NUMBERS)
    assert_array_equal(gradient(lambda a: theirs - a), -np.ones(3))
    tracked = torch.tensor(NUMBERS, requires_grad=True)
    for ask in (lambda: t * tracked, lambda: tracked * t, lambda: ng.tensor(tracked)):
        with pytest.raises((TypeError, RuntimeError), match="detach"):
            ask()
    with pytest.raises(TypeError, match=r"torch.sin computes .* write nbgrad.sin, or"):
        torch.sin(t)
    with pytest.raises(RuntimeError, match=r"torch.as_tensor, at .*test_foreign"):
        torch.as_tensor(t)


def test_what_torch_is_handed_is_a_copy() -> None:
    torch = package("torch")
    t = ng.tensor(NUMBERS)
    for hand in (torch.from_dlpack, torch.as_tensor, torch.tensor):
        hand(t)[0] = 7.0
        assert_array_equal(t, NUMBERS)


def test_jaxs_arrays_are_constants_and_its_tracers_refused() -> None:
    jax = package("jax")
    theirs = jax.numpy.asarray(NUMBERS, dtype="float32")
    for f in (lambda a: a * theirs, lambda a: theirs * a):
        assert_array_equal(gradient(f), NUMBERS)
    with pytest.raises(TypeError, match="while JAX traces"):
        jax.jit(lambda a: ng.tensor(NUMBERS) * a)(theirs)
    with pytest.raises(TypeError):
        jax.numpy.sin(ng.tensor(NUMBERS))


def test_functions_of_numpys_beside_text_and_none_give_arrays() -> None:
    t, tracked = ng.tensor(NUMBERS), ng.tensor(NUMBERS, requires_grad=True)
    assert list(np.where(t > 1.0, "high", "low")) == ["low", "high", "high"]
    assert_array_equal(np.broadcast_arrays(t, None)[0], NUMBERS)
    for ask in (lambda: np.append(tracked, None), lambda: ng.jit(lambda a: np.append(a, None))(t)):
        with pytest.raises(TypeError, match="numbers and booleans"):
            ask()


@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 4), (2, 3, 4)])
def test_strides_are_those_of_the_array(shape: tuple[int, ...]) -> None:
    assert ng.zeros(shape, dtype="float32").strides == np.zeros(shape, "float32").strides


def test_compiled_integrators_do_not_cut_the_gradient() -> None:
    a = ng.tensor(0.5, requires_grad=True)
    for ask in (lambda: quad(lambda x: x * a, 0, 1), lambda: brentq(lambda x: x - a, 0, 1)):
        with pytest.raises(RuntimeError, match="test_foreign"):
            ask()
    with ng.no_grad():
        assert quad(lambda x: x * a, 0, 1)[0] == 0.25
        assert abs(brentq(lambda x: x - a, 0, 1) - 0.5) < 1e-9


@pytest.mark.parametrize("connective", ["And", "Or", "Xor"])
def test_sympys_conditions_can_be_traced(connective: str) -> None:
    """They are reduced over tuples, for which NumPy asks no tensor."""
    sympy = package("sympy")
    x = sympy.Symbol("x")
    both = getattr(sympy, connective)(x > 0, x < 2)
    f = sympy.lambdify(x, sympy.Piecewise((x**2, both), (sympy.sin(x), True)))
    points = np.array([-1.5, 0.5, 1.0, 3.0])
    assert_allclose(ng.jit(f)(points), f(points))
    wanted = ng.grad(lambda a: f(a).sum())(points)
    for differentiated in (
        ng.jit(ng.grad(lambda a: f(a).sum())),
        ng.grad(ng.jit(lambda a: f(a).sum())),
    ):
        assert_allclose(differentiated(points), wanted)


@pytest.mark.parametrize("name", ["iadd", "isub", "imul", "itruediv", "ipow"])
def test_an_augmented_assignment_of_pandas_says_what_to_write(name: str) -> None:
    pd = package("pandas")
    for held in (pd.Series([1.0, 2.0]), pd.DataFrame(np.eye(2))):
        for t in (ng.tensor([1.0, 2.0], requires_grad=True), ng.tensor(2.0)):
            with pytest.raises(TypeError, match=r"write s = s \+ t"):
                getattr(operator, name)(held, t)
