"""NumPy's ufuncs on tensors: every one, in every dtype, and what they do besides being called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.core.lookup import ours
from nbgrad.errors import MissingOperation

UFUNCS = {v.__name__: v for v in vars(np).values() if isinstance(v, np.ufunc)}
PLAIN = {name: u for name, u in UFUNCS.items() if u.signature is None}
DTYPES = ["?", "u1", "i4", "i8", "f2", "f4", "f8", "c8", "c16"]
RNG = np.random.default_rng(0)


def operand(dtype: str, k: int = 0, shape: tuple[int, ...] = (2, 3)) -> np.ndarray[Any, Any]:
    x = np.arange(1, 1 + int(np.prod(shape))).reshape(shape)
    x = (2 * x + 3 * k) % 7 + 1
    if np.dtype(dtype).kind in "fc":
        x = x / 8
    if np.dtype(dtype).kind == "c":
        x = x + 0.25j
    return (x % 2).astype(bool) if dtype == "?" else x.astype(dtype)


def tuple_of(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


def agree(found: Any, wanted: Any, rtol: float = 0.0) -> None:
    assert type(found) is type(wanted) or not isinstance(wanted, tuple)
    for a, b in zip(tuple_of(found), tuple_of(wanted), strict=True):
        b = np.asarray(b)
        assert isinstance(a, ng.Tensor)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert_allclose(a.numpy(), b, rtol=rtol)


@pytest.mark.parametrize("name", PLAIN)
def test_every_ufunc_in_every_dtype(name: str) -> None:
    """Values, dtypes and refusals are NumPy's, of tensors, numbers and arrays in any order."""
    ufunc = PLAIN[name]
    for dtype in DTYPES:
        x, y = operand(dtype), operand(dtype, 1, (3,))
        number = x.reshape(-1)[0].item()
        for args in [(x,)] if ufunc.nin == 1 else [(x, y), (x, number), (number, y)]:
            tensors = [ng.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
            with ng.configure(tier="reference"), np.errstate(all="ignore"):
                try:
                    wanted = ufunc(*args)
                except TypeError:
                    with pytest.raises(TypeError):
                        ufunc(*tensors)
                    continue
                agree(ufunc(*tensors), wanted)
                if len(args) == 2:
                    agree(ufunc(args[0], tensors[1]) if args[1] is y else ufunc(*tensors), wanted)


def test_every_name_of_every_ufunc_is_in_the_namespace() -> None:
    for name, value in vars(np).items():
        if isinstance(value, np.ufunc) and ours(value) is not None:
            assert callable(getattr(ng.numpy, name)), name


PRODUCTS = {  # and shapes of their operands
    "matmul": ((2, 3, 3), (2, 3, 3)),
    "vecdot": ((2, 3, 3), (2, 3, 3)),
    "matvec": ((2, 3, 3), (2, 3)),
    "vecmat": ((2, 3), (2, 3, 3)),
}


@pytest.mark.parametrize("name", [name for name in PRODUCTS if hasattr(np, name)])
def test_products_over_chosen_axes(name: str) -> None:
    ufunc = UFUNCS[name]
    shapes = PRODUCTS[name]
    for dtype in ("f8", "c16"):
        a, b = operand(dtype, 0, shapes[0]), operand(dtype, 1, shapes[1])
        agree(ufunc(ng.tensor(a), ng.tensor(b)), ufunc(a, b), 1e-14)
        if name == "vecdot":
            for keywords in ({"axis": 0}, {"axis": 1, "keepdims": True}):
                wanted = ufunc(a, b, **keywords)
                agree(ufunc(ng.tensor(a), ng.tensor(b), **keywords), wanted, 1e-14)
    if name == "matmul":
        axes = [(0, 1), (1, 2), (0, 1)]
        a, b = operand("f8", 0, (3, 4, 2)), operand("f8", 1, (2, 4, 3))
        agree(np.matmul(ng.tensor(a), ng.tensor(b), axes=axes), np.matmul(a, b, axes=axes), 1e-14)


# ----------------------------------------------------------------------------------------- methods

# With AVX-512, NumPy 2.4 reduces these by vectors as if every step were the first:
# np.arctan2.reduce([3.0, 5.0, 7.0]) is arctan2(3, 7).
NOT_COMPARED = {"arctan2", "power"}
NOT_COMPARED |= {"ldexp"}  # takes an integer second, so it reduces nothing but booleans
BINARY = [
    u for u in PLAIN.values() if u.nin == 2 and u.nout == 1 and u.__name__ not in NOT_COMPARED
]
ROUNDING = {"?": 2e-3, "i8": 1e-14, "f4": 1e-6, "f8": 1e-14}  # booleans become float16
every_binary = pytest.mark.parametrize("ufunc", BINARY, ids=lambda u: u.__name__)


ERRORS = (TypeError, ValueError, IndexError, RuntimeError)


def same_result(f: Any, *args: Any, rtol: float = 1e-14, **keywords: Any) -> None:
    """*f* of the arrays as tensors is what it is of the arrays, or an error where that is."""
    tensors = [ng.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    with ng.configure(tier="reference"), np.errstate(all="ignore"):
        try:
            wanted = f(*args, **keywords)
        except ERRORS:
            with pytest.raises(ERRORS):
                f(*tensors, **keywords)
        else:
            agree(f(*tensors, **keywords), wanted, rtol)


@every_binary
def test_reduce(ufunc: np.ufunc) -> None:
    mask = np.array([True, False, True])
    for dtype, rtol in ROUNDING.items():
        x = operand(dtype)
        for keywords in [
            {},
            {"axis": None},
            {"axis": (0, 1)},
            {"axis": -1, "keepdims": True},
            {"axis": 1, "initial": x[0, 0]},
            {"axis": 1, "where": mask},
            {"axis": 1, "where": mask, "initial": x[0, 0]},
            {"axis": 0, "dtype": np.float64},
            {"axis": 2},
        ]:
            same_result(ufunc.reduce, x, rtol=rtol, **keywords)
        same_result(ufunc.reduce, x[:, :0], axis=1)


@every_binary
def test_accumulate_reduceat_and_outer(ufunc: np.ufunc) -> None:
    for dtype, rtol in ROUNDING.items():
        x, y = operand(dtype, 0, (2, 5)), operand(dtype, 1, (3,))
        for keywords in [{}, {"axis": 1}, {"axis": -1, "dtype": np.float64}, {"axis": 3}]:
            same_result(ufunc.accumulate, x, rtol=rtol, **keywords)
        for indices in ([0, 3, 1], [4], [0, 7]):
            same_result(ufunc.reduceat, x, indices, axis=1, rtol=rtol)
        same_result(ufunc.outer, x, y)
        same_result(ufunc.outer, x, y.tolist())


def test_powers_are_reduced_from_the_left() -> None:
    x = np.array([0.375, 0.625, 0.875])
    for u in (np.power, np.arctan2):
        assert_allclose(u.reduce(ng.tensor(x)).item(), u(u(x[0], x[1]), x[2]), rtol=1e-15)
        steps = [x[0], u(x[0], x[1]), u(u(x[0], x[1]), x[2])]
        assert_allclose(u.accumulate(ng.tensor(x)).numpy(), steps, rtol=1e-15)


def slope(f: Any, x: np.ndarray[Any, Any]) -> None:
    """The gradient of ``f(x).sum()`` is that of differences, at orders 1 and 2."""
    v = RNG.normal(size=x.shape)
    weights = RNG.normal(size=np.shape(f(x)))

    def loss(z: Any) -> Any:
        return (weights * f(z)).sum()

    h = 1e-6
    wanted = (loss(x + h * v) - loss(x - h * v)) / (2 * h)
    assert_allclose(np.sum(ng.grad(loss)(x) * v), wanted, rtol=1e-7, atol=1e-8)
    second = ng.grad(lambda z: (ng.grad(loss)(z) * v).sum())(x)
    gradient = ng.grad(loss)
    again = (gradient(x + h * v) - gradient(x - h * v)) / (2 * h)
    assert_allclose(second, again, rtol=1e-6, atol=1e-6)


SMOOTH = ["add", "subtract", "multiply", "divide", "maximum", "logaddexp", "hypot", "fmin"]
SMOOTH += ["float_power"]


@pytest.mark.parametrize("name", SMOOTH)
def test_methods_are_differentiated(name: str) -> None:
    ufunc = UFUNCS[name]
    x = RNG.uniform(0.5, 1.5, (5, 2))
    slope(lambda z: ufunc.reduce(z), x)
    slope(lambda z: ufunc.accumulate(z, axis=0), x)
    slope(lambda z: ufunc.reduceat(z, [0, 2, 1]), x)
    slope(lambda z: ufunc.outer(z, z[0]), x)
    slope(lambda z: ufunc.reduce(z, axis=1, initial=1.5), x)


def test_methods_are_traced_by_jit() -> None:
    x = RNG.uniform(0.5, 1.5, (4, 3))
    for f in (
        lambda z: np.logaddexp.reduce(z, axis=1),
        lambda z: np.multiply.accumulate(z),
        lambda z: np.subtract.outer(z[0], z[1]),
        lambda z: np.maximum.reduceat(z, [0, 2]),
    ):
        with ng.configure(tier="reference"):
            assert_allclose(ng.jit(f)(x), f(x), rtol=1e-14)


def test_at_binds_the_tensor_to_the_result() -> None:
    index = np.array([0, 2, 2])
    values = ng.tensor([1.0, 2.0, 3.0], requires_grad=True)
    t = ng.zeros(4)
    assert np.add.at(t, index, values) is None
    assert_array_equal(t.detach().numpy(), [1.0, 0.0, 5.0, 0.0])
    (t * ng.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert_array_equal(values.grad.numpy(), [1.0, 3.0, 3.0])
    x = np.arange(6.0).reshape(2, 3)
    t = ng.tensor(x)
    np.subtract.at(t, (slice(None), 1), 2.0)
    np.multiply.at(t, ([0, 1], [0, 2]), np.array([10.0, 20.0]))
    np.negative.at(t, 0)
    for u, args in [
        (np.subtract, ((slice(None), 1), 2.0)),
        (np.multiply, (([0, 1], [0, 2]), np.array([10.0, 20.0]))),
        (np.negative, (0,)),
    ]:
        u.at(x, *args)
    assert_array_equal(t.numpy(), x)
    for u in (np.multiply, np.negative):  # of a repeated index
        one, two = x.copy(), ng.tensor(x)
        for array in (one, two):
            u.at(array, [0, 1, 0, 0], *([2.0] if u.nin == 2 else []))
        assert_array_equal(two.numpy(), one)
    with pytest.raises(TypeError, match=r"nbgrad\.zeros"):
        np.add.at(np.zeros(4), index, values)


# ---------------------------------------------------------------------------------------- keywords


def test_out_and_where() -> None:
    x = ng.tensor([1.0, 2.0, 3.0], requires_grad=True)
    out = ng.zeros(2, 3)
    result = np.exp(x, out=out)
    assert result is out
    assert_array_equal(out.detach().numpy(), np.tile(np.exp([1.0, 2.0, 3.0]), (2, 1)))
    out.sum().backward()
    assert_allclose(x.grad.numpy(), 2 * np.exp([1.0, 2.0, 3.0]))
    mask = np.array([True, False, True])
    y = ng.tensor([5.0, 6.0, -7.0])
    np.log(y, out=y, where=mask & (y.numpy() > 0))
    assert_array_equal(y.numpy(), [np.log(5.0), 6.0, -7.0])
    with pytest.raises(ValueError, match=r"write nbgrad\.where"):
        np.log(y, where=mask)
    with pytest.raises(TypeError, match="cut the gradient"):
        np.exp(x, out=np.zeros(3))
    total = np.zeros(3)
    with pytest.raises(TypeError, match="cut the gradient"):
        total += x
    a, b = ng.zeros(3), ng.zeros(3)
    np.modf(ng.tensor([1.5, -2.25, 3.0]), out=(a, b))
    assert_array_equal(a.numpy(), [0.5, -0.25, 0.0])
    assert_array_equal(b.numpy(), [1.0, -2.0, 3.0])
    s = ng.zeros(())
    np.add.reduce(y, out=s)
    assert s.item() == y.numpy().sum()
    np.add(1.0, 2.0, out=s)
    assert s.item() == 3.0
    assert np.sin(x, out=None, where=True, dtype=None).requires_grad


def test_a_dead_element_of_where_leaks_no_nan() -> None:
    x = ng.tensor([-1.0, 4.0], requires_grad=True)
    np.sqrt(x, out=ng.zeros(2), where=np.array([False, True])).sum().backward()
    assert_array_equal(x.grad.numpy(), [0.0, 0.25])


def test_dtype_signature_casting_and_order() -> None:
    x32, x64 = np.array([0.1, 0.2], np.float32), np.array([0.1, 0.2])
    for x in (x32, x64):
        for keywords in (
            {"dtype": np.float64},
            {"dtype": np.float32},
            {"dtype": np.complex128},
            {"signature": "dd->d"},
            {"casting": "no"},
            {"casting": "safe", "dtype": np.float32},
            {"order": "C"},
            {"subok": False},
        ):
            same_result(np.add, x, 1.0, rtol=0.0, **keywords)
    with pytest.raises(ValueError, match="C-contiguous"):
        np.add(ng.tensor(x32), 1.0, order="F")
    agree(np.divmod(ng.tensor(x32), 0.15, dtype="f8"), np.divmod(x32, 0.15, dtype="f8"))
    t = ng.tensor(x32, requires_grad=True)
    np.square(t, dtype=np.float64).sum().backward()
    assert t.grad.dtype == np.float32


def test_functions_of_the_namespace_have_the_methods_and_keywords() -> None:
    x = np.array([[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]])
    assert_array_equal(ng.numpy.maximum.accumulate(x, axis=1), np.maximum.accumulate(x, axis=1))
    assert_array_equal(ng.numpy.add.reduce(x), x.sum(0))
    assert_array_equal(ng.numpy.multiply.outer(x[0], x[1]), np.multiply.outer(x[0], x[1]))
    assert ng.numpy.add(x, 1.0, dtype=np.float32).dtype == np.float32
    assert ng.numpy.power(x, 2.0, dtype=np.float32).dtype == np.float32
    assert_allclose(ng.grad(lambda z: ng.numpy.logaddexp.reduce(z))(x[0]).sum(), 1.0)
    assert ng.numpy.power.outer(x[0], x[1]).shape == (3, 3)


# ------------------------------------------------------------------------------------------ missing


def test_what_is_missing_says_what_is_near_and_where() -> None:
    double = np.frompyfunc(lambda a: a, 1, 1)
    with pytest.raises(NotImplementedError, match=r"test_ufuncs.py:\d+"):
        double(ng.ones(2))
    with pytest.raises(MissingOperation, match=r"^numpy\.is_busday.*test_ufuncs\.py:\d+"):
        np.is_busday(ng.ones(2))


def test_ufuncs_of_scipy_are_found_by_the_object() -> None:
    special = pytest.importorskip("scipy.special")
    x = ng.tensor([0.3, -0.4], requires_grad=True)
    found = special.erf(x)
    assert_allclose(found.detach().numpy(), special.erf([0.3, -0.4]), rtol=1e-15)
    found.sum().backward()
    assert_allclose(x.grad.numpy(), 2 / np.sqrt(np.pi) * np.exp(-np.array([0.09, 0.16])))
    with pytest.raises(NotImplementedError, match=r"^scipy\.special\.wofz"):
        special.wofz(ng.tensor([1j]))
    with pytest.raises(NotImplementedError, match=r"^scipy\.special\.cbrt.*nbgrad\.numpy\.cbrt"):
        special.cbrt(ng.ones(2))  # not taken for NumPy's of that name


def test_rounding_in_kernels_is_that_of_numpy() -> None:
    """Halves, signed zeros, what is too large to have a fraction, infinities and NaN."""
    small = [0.0, 0.3, 0.5, 0.7, 1.0, 1.5, 2.5, 1e-300, 3e9, 4194304.5]
    large = [2.0**51 - 0.5, 2.0**51 + 0.5, 2.0**52 + 1, 1e300, np.inf, np.nan]
    for dtype in (np.float64, np.float32):
        with np.errstate(over="ignore"):
            x = np.array([s * v for v in small + large for s in (1, -1)]).astype(dtype)
        for f in (np.floor, np.ceil, np.trunc, np.rint):
            with ng.configure(tier="fused"):
                found = f(ng.tensor(x)).numpy()
            assert_array_equal(found, f(x))
            assert_array_equal(np.signbit(found[:-2]), np.signbit(f(x)[:-2]))


def test_tensors_have_the_methods_that_arrays_have() -> None:
    z = np.array([1.26 + 2.5j, -3.14 - 0.5j])
    t = ng.tensor(z)
    for found, wanted in [
        (t.real, z.real),
        (t.imag, z.imag),
        (t.conj(), z.conj()),
        (t.conjugate(), z.conjugate()),
        (t.round(1), z.round(1)),
        (t.real.clip(0.0, 1.0), z.real.clip(0.0, 1.0)),
        (t.real.clip(max=0.5), z.real.clip(max=0.5)),
    ]:
        agree(found, wanted)


def test_no_element_has_a_negative_integer_power() -> None:
    empty = ng.tensor(np.zeros(0, np.int32))
    assert (empty**-129).numpy().dtype == np.int32
    with pytest.raises(ValueError, match="negative integer powers"):
        ng.tensor(np.ones(1, np.int32)) ** -129


REDUCTIONS = ["sum", "prod", "max", "min", "any", "all", "argmax", "argmin", "ptp"]
REDUCTIONS += ["count_nonzero", "nansum", "nanmax", "mean", "std", "median"]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_a_number_take_the_axes_that_numpys_take(name: str) -> None:
    f = getattr(np, name)
    for axis in (0, -1, np.int64(0), 1, (0,), (), True):
        t = ng.tensor(2.0, requires_grad=True)
        try:
            wanted = f(np.array(2.0), axis=axis)
        except (TypeError, ValueError):
            with pytest.raises((TypeError, ValueError)):
                f(t, axis=axis)
            continue
        found = f(t, axis=axis)
        agree(found.detach(), wanted)
        if name in ("sum", "prod", "max", "mean"):
            found.backward()
            assert t.grad.item() == 1.0
