"""Anomaly detection names the operation, the user's line and the first bad element."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import nbgrad as ng


def leaf(values: Any) -> Any:
    return ng.tensor(np.array(values), requires_grad=True)


def here() -> int:
    """Line of the caller."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def check(message: str, operation: str, line: int, index: str) -> None:
    assert operation in message.lower()
    assert f"test_anomaly.py:{line}" in message
    assert re.search(rf"index\D{{0,4}}{index}\b", message), message


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_forward_names_operation_line_and_index() -> None:
    with pytest.raises(RuntimeError) as caught, ng.autograd.detect_anomaly():
        x = leaf([1.0, 2.0, -3.0, 0.0])
        y, line = ng.log(x + 1), here()
        (y * 2).sum().item()
    check(str(caught.value), "log", line, "2")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_index_has_one_number_for_each_dimension() -> None:
    with pytest.raises(RuntimeError) as caught, ng.autograd.detect_anomaly():
        x = leaf([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]])
        y, line = 1 / x, here()
        y.sum().item()
    check(str(caught.value), "div", line, "1, 1")


def test_backward_names_the_forward_operation() -> None:
    with pytest.raises(RuntimeError) as caught, ng.autograd.detect_anomaly():
        x = leaf([4.0, 0.0, 1.0])
        y, line = ng.sqrt(x), here()
        z = y * 3
        z.sum().backward()
    check(str(caught.value), "sqrt", line, "1")
    assert x.grad is None


def test_backward_through_grad_names_the_forward_operation() -> None:
    with pytest.raises(RuntimeError) as caught, ng.autograd.detect_anomaly():
        x = leaf([4.0, 2.0, 0.0])
        y, line = x**0.5, here()
        ng.autograd.grad(y.sum(), x)
    assert f"test_anomaly.py:{line}" in str(caught.value)
    assert re.search(r"index\D{0,4}2\b", str(caught.value))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_first_operation_that_went_wrong_is_named_not_a_later_one() -> None:
    with pytest.raises(RuntimeError) as caught, ng.autograd.detect_anomaly():
        x = leaf([710.0, 1.0])
        y, line = x.exp(), here()
        z = y - y
        (z * 2 + 1).sum().item()
    check(str(caught.value), "exp", line, "0")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_operation_inside_a_function_is_named_by_its_own_line() -> None:
    lines = []

    def helper(x: Any) -> Any:
        lines.append(here() + 1)
        return ng.arcsin(x)

    with pytest.raises(RuntimeError) as caught, ng.autograd.detect_anomaly():
        helper(leaf([0.5, 2.0])).sum().item()
    check(str(caught.value), "arcsin", lines[0], "1")


def test_method_operator_and_numpy_function_all_know_their_line() -> None:
    for operation in (lambda x: x.sqrt(), lambda x: x**0.5, np.sqrt, lambda x: ng.sqrt(x)):
        with pytest.raises(RuntimeError) as caught, ng.autograd.detect_anomaly():
            x = leaf([0.0])
            operation(x).sum().backward()
        assert "test_anomaly.py:" in str(caught.value)


def test_finite_programs_pass() -> None:
    with ng.autograd.detect_anomaly():
        x = leaf([0.5, 2.0])
        (x.exp() * x.log() + ng.where(x > 1, x, 0.0)).sum().backward()
    expected = np.exp([0.5, 2.0]) * (np.log([0.5, 2.0]) + [2.0, 0.5]) + [0.0, 1.0]
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nothing_is_raised_when_it_is_off() -> None:
    x = leaf([0.0, 4.0])
    (ng.sqrt(x) + ng.log(x)).sum().backward()
    assert x.grad.numpy()[0] == np.inf


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_error_and_exit_switch_it_off_again() -> None:
    with pytest.raises(RuntimeError), ng.autograd.detect_anomaly():
        ng.log(leaf([0.0])).sum().item()
    assert ng.log(leaf([0.0])).sum().item() == -np.inf
    with ng.autograd.detect_anomaly(), ng.autograd.detect_anomaly():
        pass
    assert ng.log(leaf([0.0])).sum().item() == -np.inf


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_inner_context_does_not_switch_off_the_outer_one() -> None:
    with pytest.raises(RuntimeError), ng.autograd.detect_anomaly():
        with ng.autograd.detect_anomaly():
            pass
        ng.log(leaf([0.0])).sum().item()
