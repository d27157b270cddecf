"""The first gradient of a Python loop: what goes on while it is recorded has no say in the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from subprocesses import run

import nbgrad as ng
from nbgrad.core.aval import make_aval
from nbgrad.core.tape import Body
from nbgrad.machine import bounds
from nbgrad.ops.control import plain
from nbgrad.ops.control.scan import scan
from nbgrad.ops.kinds.forms import Rounds
from nbgrad.transforms.trace import trace

VALUES = [1.5, -0.0, 0.0, np.inf, -np.inf, np.nan, 1e308, 5e-324]


def traced(body: Any, count: int, dtype: Any = np.float64) -> Any:
    """The tape of *body*, of scalars."""
    aval = make_aval((), np.dtype(dtype))
    return trace(lambda *xs: body(*map(ng.Tensor, xs)), [aval] * count).tape


def oscillator(a: Any, u: Any, v: Any, x: Any) -> Any:
    w = u * a - v * x + 2
    return w - 0.25 * u, -v + a * w, w * x, u


def constant_carry(a: Any, u: Any, v: Any, x: Any) -> Any:
    return v, 3.0 + 0 * u, u * u - x - x


@pytest.mark.parametrize("body", [oscillator, constant_carry])
def test_a_loop_of_floats_has_the_bits_of_numpy(
    body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = traced(body, 4)
    params = {"body": Body(tape), "rounds": Rounds(1, 2, 40, False)}
    monkeypatch.setattr(plain, "FEW", 0)
    for start in VALUES:
        rows = np.resize(np.array(VALUES), 40)
        xs = [np.array(0.999), np.array(start), np.array(-0.5), rows]
        assert plain.plain(**params) is not None
        with np.errstate(all="ignore"):
            found = scan.evaluate(*xs, **params)
            monkeypatch.setattr(plain, "FEW", 10**9)
            wanted = scan.evaluate(*xs, **params)
            monkeypatch.setattr(plain, "FEW", 0)
        for y, z in zip(found, wanted, strict=True):
            assert (y.dtype, y.shape) == (z.dtype, np.shape(z))
            assert_array_equal(y, z)
            signs = np.signbit([y, z]) | np.isnan(y)  # that of a NaN is nobody's
            assert_array_equal(signs[0], signs[1])


@pytest.mark.parametrize(
    "body",
    [
        lambda a, u, v, x: (u / a, v, x),
        lambda a, u, v, x: (u**2.5, v, x),
        lambda a, u, v, x: (np.exp(u), v, x),
        lambda a, u, v, x: (np.where(u > 0, u, v), v, x),
    ],
    ids=["quotient", "power", "exponential", "choice"],
)
def test_what_python_does_otherwise_is_left_to_numpy(body: Any) -> None:
    tape = traced(body, 4)
    assert plain.plain(Body(tape), Rounds(1, 2, 10**6, False)) is None


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex128])
def test_what_is_no_float64_is_left_to_numpy(dtype: Any) -> None:
    tape = traced(lambda u: u * u + u, 1, dtype)
    assert plain.plain(Body(tape), Rounds(0, 1, 10**6, False)) is None


LOOP = """
import nbgrad as ng

def loop(x, steps):
    u, v = ng.tensor(1.0), ng.tensor(1.0)
    a, b = x[0], x[1]
    for k in range(steps):
        u, v = u + 0.001 * (a * u - b * u * v), v + 0.001 * (u * v - a * v)
    return u * v

x = ng.tensor([1.5, 0.8], requires_grad=True)
"""


def test_the_way_back_of_a_loop_is_compiled_while_it_is_recorded(tmp_path: Any) -> None:
    """The process that asks for it compiles nothing, and the numbers are those of other tiers."""
    text = """
loop(x, 2000).backward()
print("nbgrad.machine.object_code" in sys.modules)
found = x.grad.numpy().copy()
x.grad = None
with ng.configure(tier="reference", max_pending=10**9):
    loop(x, 2000).backward()
np.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-12)
"""
    given = {"NBGRAD_DETERMINISTIC": 0, "NBGRAD_CACHE_DIR": tmp_path}
    assert run(LOOP + text, **given).split() == [str(bounds.ON)]


def test_no_rule_is_met_ahead_where_compiling_is_waited_for() -> None:
    text = """
from nbgrad.engine import folding
folding.vjp = None
loop(x, 2000)
"""
    run(LOOP + text, NBGRAD_DETERMINISTIC=1)
    run(LOOP + text, NBGRAD_DETERMINISTIC=0, NBGRAD_TIER="reference")
