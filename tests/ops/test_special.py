"""Every special function and its derivatives against mpmath, to 1e-12, and at its limits.

The error allowed is 1e-12 |f| plus the condition of the point: 8 roundings of every operand, times
the derivative by it. Without that term no function could pass next to its zeros.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.special
from special_oracles import DATA, ORACLES, row

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary, ours
from nbgrad.core.registry import primitives
from nbgrad.tensors.namespaces import find

load_vocabulary()
PUBLIC = [p.name for p in primitives.values() if p.namespace == "special" and p.public]
EPS = 2.0**-52
inf, nan = math.inf, math.nan
every_function = pytest.mark.parametrize("name", PUBLIC)


@cache
def reference() -> dict[str, list[dict[str, Any]]]:
    data: dict[str, list[dict[str, Any]]] = json.loads(DATA.read_text())
    return data


def value_and_slopes(name: str, points: Any, fixed: tuple[int, ...] = ()) -> tuple[Any, list[Any]]:
    """The function at *points*, and its derivatives by the operands that are not *fixed*."""
    columns = [np.array(c, float) for c in zip(*points, strict=True)]
    leaves = [ng.tensor(c, requires_grad=k not in fixed) for k, c in enumerate(columns)]
    with ng.configure(tier="reference"):
        y = find("special", name)(*leaves)
        moving = [x for x in leaves if x.requires_grad]
        found = ng.autograd.grad(y.sum(), moving, allow_unused=True)
    slopes = [np.zeros(len(points)) if g is None else g.numpy() for g in found]
    return y.detach().numpy(), slopes


def off(found: float, wanted: Any, spread: Any) -> bool:
    if not np.isfinite(found):
        return True
    error = abs(mp.mpf(float(found)) - mp.mpf(wanted))
    return bool(error > 1e-12 * abs(mp.mpf(wanted)) + 8 * EPS * mp.mpf(spread) + mp.mpf("5e-324"))


@every_function
def test_value_and_derivatives_agree_with_mpmath(name: str) -> None:
    oracle, rows = ORACLES[name], reference()[name]
    assert [tuple(r["at"]) for r in rows] == list(oracle.points), (
        "run tests/support/special_oracles.py"
    )
    values, slopes = value_and_slopes(name, oracle.points, oracle.fixed)
    wrong = []
    for k, r in enumerate(rows):
        if off(values[k], r["value"], r["spread"]):
            wrong.append(f"{name}{r['at']}: {values[k]!r}, not {r['value']}")
        for found, wanted, spread in zip(slopes, r["slopes"], r["spreads"], strict=True):
            if off(found[k], wanted, spread):
                wrong.append(f"derivative of {name}{r['at']}: {found[k]!r}, not {wanted}")
    assert not wrong, "\n".join(wrong)


SLOW = {"betainc", "betaincc", "betaincinv", "gammainc", "gammaincc", "kv", "kve"}


@pytest.mark.parametrize("name", [n for n in PUBLIC if n not in SLOW])
def test_stored_reference_is_what_mpmath_gives(name: str) -> None:
    held = reference()[name]
    again = held[len(name) % len(held)]
    computed = row(name, tuple(again["at"]))
    for a, b in zip(
        [computed["value"], *computed["slopes"]], [again["value"], *again["slopes"]], strict=True
    ):
        assert mp.almosteq(mp.mpf(a), mp.mpf(b), rel_eps=1e-15, abs_eps=1e-30)


# Value and derivatives at ends, poles and kinks: what the doc of each declaration says.
LIMITS: list[tuple[str, tuple[float, ...], float, tuple[float, ...]]] = [
    ("xlogy", (0.0, 0.0), 0.0, (0.0, 0.0)),
    ("xlogy", (0.0, 2.0), 0.0, (math.log(2.0), 0.0)),
    ("xlogy", (0.0, -1.0), 0.0, (0.0, 0.0)),
    ("xlog1py", (0.0, -1.0), 0.0, (0.0, 0.0)),
    ("entr", (0.0,), 0.0, (inf,)),
    ("entr", (-1.0,), -inf, (0.0,)),
    ("rel_entr", (0.0, 2.0), 0.0, (-inf, 0.0)),
    ("rel_entr", (0.0, 0.0), 0.0, (0.0, 0.0)),
    ("rel_entr", (1.0, 0.0), inf, (0.0, 0.0)),
    ("rel_entr", (-1.0, 1.0), inf, (0.0, 0.0)),
    ("kl_div", (0.0, 2.0), 2.0, (-inf, 1.0)),
    ("kl_div", (1.0, 0.0), inf, (0.0, 0.0)),
    ("kl_div", (-1.0, 1.0), inf, (0.0, 0.0)),
    ("kl_div", (1.0, 1.0), 0.0, (0.0, 0.0)),
    ("logit", (0.0,), -inf, (inf,)),
    ("logit", (1.0,), inf, (inf,)),
    ("expit", (inf,), 1.0, (0.0,)),
    ("expit", (-inf,), 0.0, (0.0,)),
    ("log_expit", (-inf,), -inf, (1.0,)),
    ("log_expit", (inf,), 0.0, (0.0,)),
    ("erf", (inf,), 1.0, (0.0,)),
    ("erfc", (-inf,), 2.0, (0.0,)),
    ("erfinv", (1.0,), inf, (inf,)),
    ("erfinv", (-1.0,), -inf, (inf,)),
    ("erfinv", (0.0,), 0.0, (math.sqrt(math.pi) / 2,)),
    ("erfcx", (inf,), 0.0, (0.0,)),
    ("dawsn", (inf,), 0.0, (0.0,)),
    ("ndtr", (-inf,), 0.0, (0.0,)),
    ("log_ndtr", (inf,), 0.0, (0.0,)),
    ("ndtri", (0.0,), -inf, (inf,)),
    ("ndtri", (0.5,), 0.0, (math.sqrt(2 * math.pi),)),
    ("gammaln", (0.0,), inf, (-inf,)),
    ("gammaln", (-3.0,), inf, (nan,)),
    ("gamma", (inf,), inf, (inf,)),
    ("betainc", (2.0, 3.0, 0.0), 0.0, (0.0, 0.0, 0.0)),
    ("betainc", (2.0, 3.0, 1.0), 1.0, (0.0, 0.0, 0.0)),
    ("betainc", (1.0, 1.0, 0.0), 0.0, (0.0, 0.0, 1.0)),
    ("gammainc", (2.0, 0.0), 0.0, (0.0, 0.0)),
    ("gammainc", (1.0, 0.0), 0.0, (0.0, 1.0)),
    ("gammainc", (2.0, inf), 1.0, (0.0, 0.0)),
    ("gammaincc", (2.0, inf), 0.0, (0.0, 0.0)),
    ("gammainc", (60.0, 1e-20), 0.0, (0.0, 0.0)),
    (
        "stdtr",
        (3.0, 1e-9),
        0.5 + 3.6755259694786e-10,
        (9.732981649988488e-12, 0.36755259694786137),
    ),
    ("binom", (3.0, 5.0), 0.0, (-0.05, 0.05)),
    ("binom", (3.0, -2.0), 0.0, (0.0, -0.05)),
    ("exprel", (0.0,), 1.0, (0.5,)),
    ("exprel", (-inf,), 0.0, (0.0,)),
    ("boxcox", (2.0, 0.0), math.log(2.0), (0.5, 0.5 * math.log(2.0) ** 2)),
    ("huber", (1.0, 1.0), 0.5, (0.0, 1.0)),
    ("huber", (-1.0, 1.0), inf, (0.0, 0.0)),
    ("j1", (0.0,), 0.0, (0.5,)),
    ("y0", (0.0,), -inf, (inf,)),
    ("y1", (0.0,), -inf, (inf,)),
    ("i0", (0.0,), 1.0, (0.0,)),
    ("i0e", (0.0,), 1.0, (0.0,)),
    ("i0e", (inf,), 0.0, (0.0,)),
    ("i1e", (0.0,), 0.0, (0.5,)),
    ("k0", (0.0,), inf, (-inf,)),
    ("exp1", (0.0,), inf, (-inf,)),
    ("exp1", (inf,), 0.0, (0.0,)),
    ("relu", (0.0,), 0.0, (0.0,)),
]


@pytest.mark.parametrize(
    ("name", "point", "value", "slopes"), LIMITS, ids=lambda x: str(x).replace(" ", "")
)
def test_limits(
    name: str, point: tuple[float, ...], value: float, slopes: tuple[float, ...]
) -> None:
    found, by = value_and_slopes(name, [point])
    np.testing.assert_allclose(found[0], value, rtol=1e-12, atol=0.0)
    np.testing.assert_allclose([s[0] for s in by], slopes, rtol=1e-12, atol=0.0)


def test_logsumexp_and_softmax_of_minus_infinity() -> None:
    for x, value, weights in (
        ([-inf, -inf], -inf, [0.0, 0.0]),
        ([-inf, 0.0], 0.0, [0.0, 1.0]),
        ([1e4, 1e4], 1e4 + math.log(2.0), [0.5, 0.5]),
    ):
        leaf = ng.tensor(x, requires_grad=True)
        y = ng.special.logsumexp(leaf)
        y.backward()
        assert y.item() == pytest.approx(value)
        np.testing.assert_allclose(leaf.grad.numpy(), weights)
    np.testing.assert_allclose(ng.special.softmax(np.array([-inf, 0.0, 0.0])), [0, 0.5, 0.5])


def test_logsumexp_with_weights_and_signs() -> None:
    a, b = np.array([0.3, -0.5, 1.0]), np.array([1.0, -4.0, 0.0])
    wanted = scipy.special.logsumexp(a, b=b, return_sign=True)
    found = ng.special.logsumexp(a, b=b, return_sign=True)
    np.testing.assert_allclose([y.item() for y in found], wanted)


# ---------------------------------------------------------------------------------- dispatch, errors


def test_scipy_ufuncs_come_here() -> None:
    """``scipy.special.gammaln(tensor)`` is ours, for every name here that is a ufunc there."""
    found = 0
    for name in dir(ng.special):
        ufunc = getattr(scipy.special, name, None)
        if isinstance(ufunc, np.ufunc):
            found += 1
            assert ours(ufunc) is not None, name
    assert found > 50


def test_scipy_ufunc_of_a_tensor() -> None:
    x = ng.tensor([0.5, 2.0], requires_grad=True)
    scipy.special.gammaln(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), scipy.special.digamma([0.5, 2.0]))
    y = scipy.special.xlogy(np.array([1.0, 2.0]), x)
    assert isinstance(y, ng.Tensor)


def test_a_derivative_by_an_order_raises() -> None:
    order = ng.tensor(0.5, requires_grad=True)
    with pytest.raises(NotImplementedError, match=r"jv has no derivative by operand 1"):
        ng.special.jv(order, 2.0).backward()
    x = ng.tensor(2.0, requires_grad=True)
    ng.special.jv(0.5, x).backward()
    assert x.grad.item() == pytest.approx(scipy.special.jvp(0.5, 2.0))


def test_complex_numbers_raise_at_the_call() -> None:
    with pytest.raises(TypeError, match="real numbers only"):
        ng.special.gammaln(ng.tensor([1.0 + 1j]))


def test_dtypes_are_scipys() -> None:
    for dtype in (np.float32, np.float64, np.int64):
        x = np.array([1, 2], dtype)
        assert ng.special.gammaln(x).dtype == scipy.special.gammaln(x).dtype
    assert ng.special.gammainc(2.0, np.array([1.0], np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("order", "second"), [(2, 0.25), (-2, 0.25), (3, 0.0), (4, 0.0), (0, 0.0)]
)
def test_ive_is_smooth_at_zero_but_for_the_lowest_orders(order: int, second: float) -> None:
    f = lambda x: ng.special.ive(float(order), x)
    assert ng.grad(f)(0.0) == 0.0
    assert ng.grad(ng.grad(f))(0.0) == pytest.approx(second, abs=1e-12)
    for x in (-0.7, 0.4):
        h = 1e-5
        slope = ng.grad(f)
        assert ng.grad(slope)(x) == pytest.approx(
            (slope(x + h) - slope(x - h)) / (2 * h), rel=1e-7
        )


@pytest.mark.parametrize(
    ("name", "at", "wanted"),
    [
        ("gammainc", (1.0, 0.0), -1.0),
        ("gammainc", (1.5, 0.0), inf),
        ("gammainc", (2.0, 0.0), 1.0),
        ("gammainc", (2.0, 1e-310), 1.0),
        ("gammaincc", (2.0, 0.0), -1.0),
        ("gammainc", (2.0, inf), 0.0),
        ("betainc", (2.0, 2.0, 0.0), 6.0),
        ("betainc", (2.0, 2.0, 1.0), -6.0),
        ("betainc", (1.0, 2.0, 0.0), -2.0),
        ("betainc", (2.0, 1.0, 1e-310), 2.0),
        ("betainc", (0.5, 0.5, 0.0), -inf),
        ("betainc", (1.0, 1.0, 0.0), 0.0),
    ],
)
def test_second_derivatives_at_the_ends(name: str, at: tuple[float, ...], wanted: float) -> None:
    f = find("special", name)
    found = ng.grad(ng.grad(lambda x: f(*at[:-1], x)))(at[-1])
    assert float(found) == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize(
    ("name", "at", "wanted"),
    [
        ("stdtr", (3.0, 0.0), 0.00973298164998875),
        ("stdtr", (1e4, 1e-9), 9.9733076243611548e-10),
        ("gammainc", (2.0, 0.0), 0.0),
        ("gammainc", (2.0, inf), 0.0),
        ("betainc", (2.0, 3.0, 0.0), 0.0),
        ("betainc", (2.0, 3.0, 1.0), 0.0),
    ],
)
def test_mixed_derivatives_at_the_ends_in_either_order(
    name: str, at: tuple[float, ...], wanted: float
) -> None:
    f = find("special", name)
    both = ng.hessian(f, argnums=(0, len(at) - 1))(*at)
    np.testing.assert_allclose([both[0][1], both[1][0]], wanted, rtol=1e-9, atol=1e-300)


DECAYS = {"i0e": 0.5, "i1e": 0.5, "k0e": 0.5, "k1e": 0.5, "erfcx": 1.0, "dawsn": 1.0}


@pytest.mark.parametrize("name", DECAYS)
def test_higher_derivatives_do_not_cancel_far_out(name: str) -> None:
    """There the functions are powers of x, but for terms that are 1e-14 of that."""
    power, x = DECAYS[name], 1e14
    f: Any = find("special", name)
    wanted = float(f(ng.tensor(x)))
    for k in range(3):
        f, wanted = ng.grad(f), -wanted * (power + k) / x
        assert float(f(x)) == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize("tier", ["reference", "fused"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_polygamma_of_any_order_ends_and_is_right_between_poles(tier: str) -> None:
    """Orders that are no numbers of derivatives, or too large, once went on for ever; NaN gave a number."""
    n = np.array([10.0, 12.0, 4.0, 1e300, np.inf, 0.5, 1e5, 1.0, 1.0, 99.0])
    x = np.array([-2.5, -2.5, -7.3, -0.25, 2.0, 1.5, -0.5, np.nan, 1e300, 2.0])
    with ng.configure(tier=tier):
        found = ng.special.polygamma(n, ng.tensor(x)).numpy()
    with mp.workdps(60):
        exact = [float(mp.polygamma(int(n[k]), mp.mpf(x[k]))) for k in (0, 1, 2, 9)]
    np.testing.assert_allclose(found[[0, 1, 2, 9]], exact, rtol=2e-14)
    assert np.isnan(found[[3, 5, 6, 7]]).all() and found[8] == 1e-300
