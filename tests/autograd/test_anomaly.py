"""Anomaly detection names the operation, the user's line and the first bad element."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng

# NumPy warns of log(0) in the forward; PyTorch and nbgrad need not.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def leaf(values: Any) -> Any:
    return ng.tensor(np.array(values), requires_grad=True)


def message_of(program: Callable[[], Any]) -> str:
    """Text of the error that *program* raises under anomaly detection."""
    with ng.autograd.detect_anomaly(), pytest.raises(RuntimeError) as caught:
        program()
    return str(caught.value)


def check(program: Callable[[], Any], operation: str, index: str) -> None:
    """The error names *operation*, the second line of *program*, and *index*."""
    message = message_of(program)
    line = program.__code__.co_firstlineno + 2
    assert operation in message.lower()
    assert f"test_anomaly.py:{line}" in message, f"line {line} in: {message}"
    assert re.search(rf"index\D{{0,4}}{index}\b", message), message


def test_forward_names_operation_line_and_index() -> None:
    def program() -> None:
        x = leaf([1.0, 2.0, -3.0, 0.0])
        y = ng.log(x + 1)
        (y * 2).sum().backward()

    check(program, "log", "2")


def test_forward_alone_raises_when_its_value_is_wanted() -> None:
    def program() -> None:
        x = leaf([1.0, 2.0, -3.0, 0.0])
        y = ng.log(x + 1)
        (y * 2).sum().item()

    check(program, "log", "2")


def test_index_has_one_number_for_each_dimension() -> None:
    def program() -> None:
        x = leaf([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]])
        y = 1 / x
        y.sum().backward()

    check(program, "div", "1, 1")


def test_backward_names_the_forward_operation() -> None:
    def program() -> None:
        x = leaves[0]
        y = ng.sqrt(x)
        z = y * 3
        z.sum().backward()

    leaves = [leaf([4.0, 0.0, 1.0])]
    check(program, "sqrt", "1")
    assert leaves[0].grad is None


def test_backward_through_grad_names_the_forward_operation() -> None:
    def program() -> None:
        x = leaf([4.0, 2.0, 0.0])
        y = ng.arcsin(1 - x / 4)
        ng.autograd.grad(y.sum(), x)

    check(program, "arcsin", "2")


def test_first_operation_that_went_wrong_is_named_not_a_later_one() -> None:
    def program() -> None:
        x = leaf([1.0, 710.0])
        y = x.exp()
        z = y - y
        (z * 2 + 1).sum().backward()

    check(program, "exp", "1")


def test_operation_inside_a_function_is_named_by_its_own_line() -> None:
    def helper(x: Any) -> Any:
        shifted = x + 1
        return ng.arcsin(shifted)

    message = message_of(lambda: helper(leaf([-0.5, 2.0])).sum().backward())
    assert f"test_anomaly.py:{helper.__code__.co_firstlineno + 2}" in message


METHODS: list[tuple[str, Callable[[Any], Any]]] = [
    ("method", lambda x: x.log()),
    ("function", lambda x: ng.log(x)),
    ("NumPy function", lambda x: np.log(x)),
    ("operator", lambda x: 1 / x),
    ("operator with an array", lambda x: np.array([1.0]) / x),
]


@pytest.mark.parametrize("operation", [m[1] for m in METHODS], ids=[m[0] for m in METHODS])
def test_every_way_to_call_an_operation_knows_its_line(operation: Any) -> None:
    message = message_of(lambda: operation(leaf([0.0])).sum().backward())
    assert f"test_anomaly.py:{operation.__code__.co_firstlineno}" in message


def test_finite_programs_pass() -> None:
    a = np.array([0.5, 2.0])
    with ng.autograd.detect_anomaly():
        x = leaf(a)
        (x.exp() * x.log() + ng.where(x > 1, x, 0.0)).sum().backward()
    assert_allclose(x.grad.numpy(), np.exp(a) * (np.log(a) + 1 / a) + (a > 1), rtol=1e-12)


def test_nothing_is_raised_when_it_is_off() -> None:
    x = leaf([0.0, 4.0])
    (ng.sqrt(x) + ng.log(x)).sum().backward()
    assert x.grad.numpy()[0] == np.inf


def log_of_zero() -> Any:
    y = ng.log(leaf([0.0])).sum()
    y.backward()
    return y.item()


def test_error_and_exit_switch_it_off_again() -> None:
    message_of(log_of_zero)
    assert log_of_zero() == -np.inf
    with ng.autograd.detect_anomaly(), ng.autograd.detect_anomaly():
        pass
    assert log_of_zero() == -np.inf


def test_inner_context_does_not_switch_off_the_outer_one() -> None:
    with ng.autograd.detect_anomaly():
        with ng.autograd.detect_anomaly():
            pass
        with pytest.raises(RuntimeError):
            log_of_zero()


def test_policy_raise_refuses_a_gradient_that_is_not_finite() -> None:
    x = leaf([0.0, 4.0])
    with ng.configure(nan_policy="raise"):
        with pytest.raises(ng.errors.AnomalyError, match=r"inf at index \(0,\)"):
            ng.sqrt(x).sum().backward()
        assert x.grad is None
        with pytest.raises(ng.errors.AnomalyError, match="nan_policy"):
            ng.autograd.grad(ng.log(x).sum(), x)
        ng.where(x > 0, ng.sqrt(x), 0.0).sum().backward()
    assert_allclose(x.grad.numpy(), [0.0, 0.25])


def test_a_first_derivative_that_is_infinite_is_called_no_second_one() -> None:
    assert "second derivative" not in message_of(
        lambda: np.sqrt(leaf([0.0, 1.0])).sum().backward()
    )
