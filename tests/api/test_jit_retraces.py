"""The one warning of a function that is traced again and again: what changes, from what to what."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.errors import RetraceWarning

LIMIT = 5
X = np.ones(3)


def warned(f: Any, calls: Any) -> str:
    """What the calls of *f* warn of, which is one thing."""
    with ng.configure(retraces=LIMIT), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for args, kwargs in calls:
            f(*args, **kwargs)
    found = [w for w in said if issubclass(w.category, RetraceWarning)]
    assert len(found) == 1 and found[0].filename == __file__
    text = str(found[0].message)
    assert f"traced {LIMIT} times" in text and "retraces=0" in text
    return text


MANY = range(2 * LIMIT)
GROWING: list[Any] = [((np.ones(n), X), {}) for n in MANY]
DTYPES = ("f4", "f8", "i4", "i8", "i2", "c8")
KINDS = (1.0, np.float64(1), np.ones(()), ng.tensor(1.0), np.ones(1), np.ones(2))
ARGUMENTS: dict[str, tuple[Any, str]] = {
    "shape": (GROWING, r"argument 'x' \(4 different ones\): shape \(3,\) -> \(4,\); .*pad"),
    "dtype": ([((X.astype(d), X), {}) for d in DTYPES], r"dtype int32 -> int64|dtype .* -> int16"),
    "by name": ([((X,), {"y": np.ones(n)}) for n in MANY], r"argument 'y' .*: shape"),
    "a text": ([((X, X), {"mode": str(k)}) for k in MANY], r"argument 'mode' .*: value 3 -> 4"),
    "a tuple": ([((X, X), {"mode": (str(k),)}) for k in MANY], r"argument 'mode' .*nest"),
    "a class": ([((x, X), {}) for x in KINDS], r"argument 'x' .*: kind a tensor .*same way"),
    "nesting": ([((X, X), {"mode": [X] * k}) for k in MANY], r"nothing -> mode\[3\]"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_warning_names_the_argument_that_changes(name: str) -> None:
    calls, pattern = ARGUMENTS[name]
    f = ng.jit(lambda x, y, mode="": x.sum() + y.sum())
    text = warned(f, calls)
    assert re.search(pattern, text), text


def test_static_arguments_are_named() -> None:
    f = ng.jit(lambda x, n: x * n, static_argnames="n")
    assert "argument 'n' (4 different ones): value 3 -> 4" in warned(
        f, [((X, k), {}) for k in MANY]
    )
    g = ng.jit(lambda x, n: x[: n % 3])
    assert "argument 'n'" in warned(g, [((X, k), {}) for k in MANY])


scale = 0.0


class Model:
    rate = 0.5

    def step(self, x: Any) -> Any:
        return x * self.rate


def outside(kind: str) -> tuple[Any, Any]:
    """A compiled function, and what changes what it reads."""
    model, data, array = Model(), {"a": 0.0}, np.zeros(3)
    number = 0.0

    def of_module(k: int) -> None:
        global scale
        scale = float(k)

    def of_closure(k: int) -> None:
        nonlocal number
        number = float(k)

    return {
        "global": (ng.jit(lambda x: x * scale), of_module),
        "closure": (ng.jit(lambda x: x * number), of_closure),
        "attribute": (ng.jit(model.step), lambda k: setattr(model, "rate", float(k))),
        "item": (ng.jit(lambda x: x * data["a"]), lambda k: data.update(a=float(k))),
        "array": (ng.jit(lambda x: x * array), lambda k: array.fill(k)),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("global", "the global 'scale': 3.0 -> 4.0"),
        ("closure", "'number', a variable of an enclosing function: 3.0 -> 4.0"),
        ("attribute", "the attribute 'rate' of a Model: 3.0 -> 4.0"),
        ("item", "item a of a dict: 3.0 -> 4.0"),
        ("array", "the elements of 'array', a variable of an enclosing function"),
    ],
)
def test_the_warning_names_what_changes_outside(kind: str, message: str) -> None:
    f, change = outside(kind)

    def calls() -> Any:
        for k in MANY:
            change(k)
            yield (X,), {}

    text = warned(f, calls())
    assert message in text and "pass what changes as an argument" in text


def test_what_is_traced_seldom_or_for_numbers_says_nothing() -> None:
    with ng.configure(retraces=LIMIT):
        f = ng.jit(lambda x, n: x * n)
        for k in range(100):  # integers become numbers of the trace
            f(X, k)
        for k in range(100):
            ng.jit(lambda x: x * 2)(np.ones(k))
        g = ng.jit(lambda x: x * 2)
        for k in range(60):
            g(np.ones(k % (LIMIT - 1)))
    with ng.configure(retraces=0):
        g = ng.jit(lambda x: x * 2)
        for k in range(60):
            g(np.ones(k))


def test_as_an_error_it_leaves_the_trace_behind() -> None:
    f = ng.jit(lambda x: x * 2)
    with ng.configure(retraces=3):
        f(np.ones(1)), f(np.ones(2))
        with pytest.raises(RetraceWarning):
            f(np.ones(3))
        assert f(np.ones(3)).tolist() == [2.0] * 3
