"""The number of a traced value is refused by its name, its line and its cause, with the fix."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.errors import ConcretizationError

X = np.array([1.0, 2.0])


class Sorted(ng.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return ng.tensor(np.sort(x.numpy()))

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g


CASES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "if": (lambda x: x if x.sum() > 0 else -x, "`if` .*greater.*argument 'x'.*nbgrad.where"),
    "while": (lambda x: [1 for _ in range(3) if x[0] < 1], "`if` .*less.*nbgrad.where"),
    "max": (lambda x: max(x[0], x[1]), "max, sorted.*greater"),
    "item": (lambda x: x * x.sum().item(), r"item\(\), .*sum.*Leave it a tensor"),
    "tolist": (lambda x: x.tolist(), r"tolist\(\).*float64\[2\] value of argument 'x'"),
    "float": (lambda x: float(x.prod()), r"float\(\).*prod.*Python int, str or bool"),
    "int": (lambda x: int(x[0]), r"int\(\)"),
    "range": (lambda x: range(x.astype(int)[0]), "an index, a length.*Pass it as a Python int"),
    "an array at it": (lambda x: X[x.astype(int)[0]], r"write nbgrad\.numpy\.take\(a, i\)"),
    "a list at it": (lambda x: [1.0, 2.0][x.astype(int)[0]], r"write nbgrad\.numpy\.take\(a, i\)"),
    "reshape": (
        lambda x: x.reshape(x.astype(int)[1]),
        "pass lengths, shapes and axes as Python ints",
    ),
    "f-string": (lambda x: f"{x.sum():.3f}", "an f-string.*sum.*Print the shape"),
    "Function": (Sorted.apply, "forward of the nbgrad.Function Sorted.*call what uses it without"),
    "numpy": (lambda x: x.numpy(), r"numpy\(\).*is not one of nbgrad's"),
    "asarray": (np.asarray, r"numpy\.asarray, at .*Write nbgrad\.numpy\.asarray instead"),
    "unique": (np.unique, "unique, at .*depends on values"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_error_names_the_value_its_line_and_the_fix(name: str) -> None:
    f, text = CASES[name]
    with pytest.raises(ConcretizationError, match=text) as caught:
        ng.jit(lambda x: f(x))(X)
    message = str(caught.value)
    assert re.search(r"test_traced_values\.py:\d+", message)
    assert "not known while nbgrad.jit or vmap traces the function" in message


def test_arguments_are_named_as_the_caller_knows_them() -> None:
    def f(w: Any, *more: Any, scale: Any = None) -> Any:
        return (more[1] if scale is None else scale["a"][1]).item()

    with pytest.raises(ConcretizationError, match=re.escape("argument \"scale['a'][1]\"")):
        ng.jit(f)(X, scale={"a": [X, np.float64(2.0)]})
    with pytest.raises(ConcretizationError, match=re.escape("argument 'more[1]'")):
        ng.jit(f)(X, X, np.array(1.0))
