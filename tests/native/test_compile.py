"""``nbgrad.compile``: functions and derivatives called from compiled code, from C and from Python."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import njit, types
from numba.core.errors import TypingError
from scipy import LowLevelCallable
from scipy.integrate import IntegrationWarning, nquad, quad

import nbgrad as ng


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def scaled(x: Any, a: Any, w: Any) -> Any:
    return (w @ np.sin(a * x)).sum() * a


class Point(NamedTuple):
    position: Any
    mass: Any


def of_point(p: Any, scale: Any) -> Any:
    return p.mass * (p.position**2).sum() * scale[0] + scale[1]


def difference(f: Any, x: Any, eps: float = 1e-6) -> Any:
    """The derivative of *f* by each element of *x*, by central differences."""
    found = []
    for k in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[k] = eps
        found.append((np.asarray(f(x + step)) - np.asarray(f(x - step))) / (2 * eps))
    return np.moveaxis(np.array(found).reshape((*x.shape, *found[0].shape)), range(x.ndim), range(-x.ndim, 0))  # fmt: skip


@njit  # type: ignore[untyped-decorator]
def everything(
    c0: Any, c1: Any, c2: Any, c3: Any, c4: Any, c5: Any, c6: Any, x: Any, v: Any
) -> Any:
    return c0(x), c1(x), c2(x), c3(x, v), c4(x, v), c5(x), c6(x)


@pytest.mark.parametrize("n", [2, 700])
def test_all_functions_agree_with_finite_differences(n: int) -> None:
    rng = np.random.default_rng(n)
    x, v = rng.uniform(-1, 1, n), rng.uniform(-1, 1, n)
    c = ng.compile(rosenbrock, x)
    value, g, (also, slope), (again, along), product, hess, row = everything(
        c.value, c.grad, c.value_and_grad, c.jvp, c.hvp, c.hess, c.jacobian, x, v
    )
    np.testing.assert_allclose([value, also, again], rosenbrock(x), rtol=1e-13)
    by_hand = difference(rosenbrock, x)
    np.testing.assert_allclose(g, by_hand, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(g, slope, rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(row, g, rtol=1e-12, atol=1e-10)
    assert along == pytest.approx(g @ v)
    second = difference(c.grad, x)
    np.testing.assert_allclose(hess, second, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(product, hess @ v, rtol=1e-9, atol=1e-9)


def test_numbers_beside_arrays_keep_their_dtypes() -> None:
    x, w = np.linspace(0, 1, 3), np.arange(6.0).reshape(2, 3)
    c = ng.compile(scaled, x, 2.0, w, argnums=(0, 1))

    @njit  # type: ignore[untyped-decorator]
    def call(x: Any, a: Any, w: Any) -> Any:
        return c.value_and_grad(x, a, w)

    value, (by_x, by_a) = call(x, 3, w)
    assert value == pytest.approx(scaled(x, 3.0, w))
    np.testing.assert_allclose(by_x, difference(lambda x: scaled(x, 3.0, w), x), rtol=1e-7)
    assert by_a == pytest.approx(float(difference(lambda a: scaled(x, a, w), np.array(3.0))))
    np.testing.assert_array_equal(call(x, 3, np.asfortranarray(w))[1][0], by_x)


def test_float32_stays_float32() -> None:
    x = np.linspace(0, 1, 5, dtype=np.float32)
    c = ng.compile(lambda x, a: (x * x * a).sum(), x, 2.0)

    @njit  # type: ignore[untyped-decorator]
    def call(x: Any) -> Any:
        return c.value_and_grad(x, 3.0)

    value, g = call(x)
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, 6 * x, rtol=1e-6)
    assert value == pytest.approx(3 * float((x * x).sum()), rel=1e-6)


def test_nested_arguments_and_several_results() -> None:
    p, scale = Point(np.array([1.0, 2.0]), 3.0), (2.0, 1.0)
    c = ng.compile(of_point, p, scale)

    @njit  # type: ignore[untyped-decorator]
    def call(position: Any) -> Any:
        return c.value_and_grad(Point(position, 3.0), (2.0, 1.0))

    value, g = call(np.array([1.0, 2.0]))
    assert value == 31.0
    assert g.mass == 10.0
    np.testing.assert_array_equal(g.position, [12.0, 24.0])

    several = ng.compile(lambda x: (x[::2], x.sum(), x, 3.0, x[::2]), np.ones(3))

    @njit  # type: ignore[untyped-decorator]
    def all_of(x: Any) -> Any:
        return several.value(x)

    half, total, same, three, again = all_of(np.array([1.0, 2.0, 4.0]))
    assert (total, three) == (7.0, 3.0)
    np.testing.assert_array_equal(half, [1, 4])
    np.testing.assert_array_equal(again, [1, 4])
    np.testing.assert_array_equal(same, [1, 2, 4])


def test_results_are_written_to_arrays_of_the_callers() -> None:
    c = ng.compile(rosenbrock, np.ones(3))

    @njit  # type: ignore[untyped-decorator]
    def call(x: Any, out: Any) -> Any:
        value, g = c.value_and_grad(x, out)
        g[0] += 1
        return value

    x, out = np.array([0.5, 1.0, 2.0]), np.zeros(3)
    assert call(x, out) == pytest.approx(rosenbrock(x))
    expected = difference(rosenbrock, x)
    expected[0] += 1
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    c.grad(x, out)
    np.testing.assert_allclose(out, difference(rosenbrock, x), rtol=1e-6)
    with pytest.raises(ValueError, match="other extents"):
        call(x, np.zeros(4))
    with pytest.raises(ValueError, match="shares memory"):
        call(x, x)
    with pytest.raises(ValueError, match="shares memory"):
        c.grad(x, x)
    both = np.concatenate([x, x])
    assert call(both[:3], both[3:]) == pytest.approx(rosenbrock(x))
    with pytest.raises(ValueError, match="shares memory"):
        call(both[:3], both[2:5])
    with pytest.raises(ValueError, match="is written to a contiguous array"):
        c.grad(x, np.zeros(4))


def test_wrong_arguments_are_told() -> None:
    c = ng.compile(rosenbrock, np.ones(3))

    @njit  # type: ignore[untyped-decorator]
    def call(x: Any) -> Any:
        return c.grad(x)

    with pytest.raises(ValueError, match="argument x has other extents"):
        call(np.ones(4))
    for wrong in (np.ones(3, np.float32), np.ones((3, 1)), 1.0, (1.0, 2.0)):
        with pytest.raises(TypingError, match=r"argument x is .* compiled for array"):
            call(wrong)
    with pytest.raises(ValueError, match=r"of shape \(4,\)"):
        c.grad(np.ones(4))
    with pytest.raises(TypeError, match="dtype float32"):
        c.grad(np.ones(3, np.float32))
    with pytest.raises(TypeError, match="takes 1 arguments"):
        c.grad()

    @njit  # type: ignore[untyped-decorator]
    def too_many(x: Any) -> Any:
        return c.grad(x, x, x)

    with pytest.raises(TypingError, match="takes 1 arguments"):
        too_many(np.ones(3))

    @njit  # type: ignore[untyped-decorator]
    def whole(c: Any, x: Any) -> Any:
        return c.grad(x)

    with pytest.raises(TypeError, match="pass the function that is called"):
        whole(c, np.ones(3))


def test_integers_are_settings() -> None:
    c = ng.compile(lambda x, n: sum(x[k] ** 2 for k in range(n)), np.ones(3), 2)

    @njit  # type: ignore[untyped-decorator]
    def call(x: Any, n: Any) -> Any:
        return c.grad(x, n)

    np.testing.assert_array_equal(call(np.ones(3), 2), [2, 2, 0])
    with pytest.raises(ValueError, match="compiled as a number"):
        call(np.ones(3), 3)
    with pytest.raises(ValueError, match="compiled as the number 2"):
        c.grad(np.ones(3), 3)


def test_what_cannot_be_compiled_is_refused() -> None:
    with pytest.raises(TypeError, match="a function is needed"):
        ng.compile(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="argument d is a dict"):
        ng.compile(lambda d: d["x"], {"x": 1.0})
    with pytest.raises(TypeError, match="argument z is an array of complex128"):
        ng.compile(lambda z: z, np.ones(2, complex))
    with pytest.raises(ValueError, match="argnums=1"):
        ng.compile(rosenbrock, np.ones(2), argnums=1)
    with pytest.raises(ng.errors.ConcretizationError):
        _ = ng.compile(lambda x: x if x > 0 else -x, 1.0).value

    def hosted(x: Any) -> Any:
        return ng.pure_callback(lambda x: np.asarray(x), x, x)

    with pytest.raises(TypeError, match="calls Python"):
        _ = ng.compile(hosted, np.ones(2)).value


def test_what_fails_raises() -> None:
    solve = ng.compile(lambda a: np.linalg.solve(a, np.ones(2)).sum(), np.eye(2))
    taken = ng.compile(lambda x, i: x[i].sum(), np.ones(3), np.array([0, 1]))

    @njit  # type: ignore[untyped-decorator]
    def singular(a: Any) -> Any:
        return solve.value_and_grad(a)

    @njit  # type: ignore[untyped-decorator]
    def outside(x: Any, i: Any) -> Any:
        return taken.grad(x, i)

    assert singular(np.eye(2))[0] == 2.0
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        singular(np.zeros((2, 2)))
    with pytest.raises(np.linalg.LinAlgError):
        solve.value(np.zeros((2, 2)))
    np.testing.assert_array_equal(outside(np.ones(3), np.array([2, 2])), [0, 0, 2])
    with pytest.raises(IndexError):
        outside(np.ones(3), np.array([0, 7]))
    with pytest.raises(IndexError):
        taken.grad(np.ones(3), np.array([0, 7]))


def test_loops_products_and_what_is_closed_over() -> None:
    matrix = np.arange(12.0).reshape(3, 4) / 10

    def f(x: Any) -> Any:
        y = ng.fori_loop(0, 5, lambda k, y: np.tanh(matrix.T @ (matrix @ y)), x)
        total = ng.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, s[1] * 1.5), (0, y.sum()))
        return total[1] + ng.scan(lambda c, t: (c * t, None), 1.0, x)[0]

    x = np.array([0.1, 0.2, 0.3, 0.4])
    c = ng.compile(f, x)

    @njit  # type: ignore[untyped-decorator]
    def call(x: Any) -> Any:
        return c.value_and_grad(x)

    value, g = call(x)
    assert value == pytest.approx(float(f(x)))
    np.testing.assert_allclose(g, difference(lambda x: np.asarray(f(x)), x), rtol=1e-6, atol=1e-9)


def test_one_code_serves_functions_of_other_extents() -> None:
    @njit  # type: ignore[untyped-decorator]
    def call(f: Any, x: Any) -> Any:
        return f(x)

    for n in (2, 3):
        x = np.linspace(0, 1, n)
        assert call(ng.compile(rosenbrock, x).value, x) == pytest.approx(rosenbrock(x))
    assert len(call.signatures) == 1


def test_a_run_that_is_written_out_is_that_of_all() -> None:
    constant = np.arange(3.0)

    def f(
        x: Any, a: Any
    ) -> Any:  # of blocks, numbers, an argument, and what is no result of a kernel
        return (np.sin(x) * a).sum(), x, a * constant, constant, a

    x = np.linspace(-9, 9, 1_000_001)
    c = ng.compile(f, x, 1.5)

    @njit  # type: ignore[untyped-decorator]
    def call(x: Any, a: Any) -> Any:
        return c.value(x, a)

    general, expected = (
        c.value.image.run,
        c.value(x, 0.25),
    )  # by the loop of all, as Python calls it
    assert any(0 < grain < n for _, n, grain, _ in c.value.image.layout.calls)
    for got, wanted in zip(call(x, 0.25), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert c.value.image.run != general


def test_pointers_of_c() -> None:
    c = ng.compile(rosenbrock, np.ones(3))
    x, value, g = np.array([0.5, 1.0, 2.0]), np.zeros(()), np.zeros(3)
    function = c.value_and_grad.ctypes()
    assert c.value_and_grad.c_declaration == (
        "int64_t value_and_grad(const double *x, double *value_and_grad_0, double *value_and_grad_1, "
        "void *workspace)"
    )
    del c
    assert function(x.ctypes.data, value.ctypes.data, g.ctypes.data, None) == 0
    assert float(value) == pytest.approx(rosenbrock(x))
    np.testing.assert_allclose(g, difference(rosenbrock, x), rtol=1e-6)


def test_a_caller_may_give_the_memory_of_a_run() -> None:
    matrix = np.linspace(-1, 1, 6000).reshape(2000, 3)
    c = ng.compile(lambda x: np.tanh(matrix @ x).sum(), np.ones(3))
    size = c.grad.workspace_size
    assert size > 8192
    raw = np.zeros(size + 64, np.uint8)
    workspace = raw.ctypes.data + -raw.ctypes.data % 64
    x, g = np.linspace(0, 1, 3), np.zeros(3)
    function = c.grad.ctypes()
    for k in range(2):
        assert function((x + k).ctypes.data, g.ctypes.data, workspace) == 0
        np.testing.assert_array_equal(g, c.grad(x + k))


def test_scipy_takes_them() -> None:
    c = ng.compile(lambda t, a: a * np.exp(-t * t), 0.0, 1.0, argnums=1)
    found = quad(c.value.low_level_callable(), 0, 2, args=(3.0,))[0]
    assert found == pytest.approx(quad(lambda t: 3 * np.exp(-t * t), 0, 2)[0], rel=1e-12)
    assert quad(c.grad.low_level_callable(), 0, 2, args=(3.0,))[0] == pytest.approx(found / 3)
    with pytest.warns(IntegrationWarning):  # not as many numbers
        assert np.isnan(quad(c.value.low_level_callable(), 0, 2)[0])
    v = ng.compile(lambda x: x[0] * x[1] ** 2, np.ones(2))
    assert nquad(v.value.low_level_callable(), [[0, 1], [0, 2]])[0] == pytest.approx(4 / 3)
    other = v.grad.low_level_callable()
    assert isinstance(other, LowLevelCallable)
    assert other.signature == "int64_t (double *, double *, void *)"


def test_first_class_functions_and_cfuncs() -> None:
    c = ng.compile(rosenbrock, np.ones(3))
    kind = types.float64(types.float64[::1])

    @njit([types.float64(types.FunctionType(kind), types.float64[::1])])  # type: ignore[untyped-decorator]
    def call(f: Any, x: Any) -> Any:
        return f(x)

    x = np.array([0.5, 1.0, 2.0])
    assert call(c.value.first_class(), x) == pytest.approx(rosenbrock(x))


def test_they_are_called_from_cfuncs() -> None:
    from numba import carray, cfunc

    c = ng.compile(lambda u: -2 * u, np.ones(2))

    @cfunc(types.void(types.double, types.CPointer(types.double), types.CPointer(types.double)))  # type: ignore[untyped-decorator]
    def rhs(t: Any, u: Any, du: Any) -> None:
        c.value(carray(u, 2), carray(du, 2))

    u, du = np.array([1.0, 3.0]), np.zeros(2)
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_double, ctypes.c_void_p, ctypes.c_void_p)
    prototype(rhs.address)(0.0, u.ctypes.data, du.ctypes.data)
    np.testing.assert_array_equal(du, [-2, -6])
